import type { Command } from 'commander';
import { duration } from '../../health/finding.ts';
import { stats } from '../../operations/index.ts';
import type { InboxStats } from '../../operations/index.ts';
import { colorOf } from './list.ts';
import { withPool } from '../shared/context.ts';
import { age, answer, print, printFields, printTable } from '../shared/output.ts';

export function addStats(program: Command): void {
  program
    .command('stats')
    .description('Show entries by type and status, recent rates, and open dead letters by error type')
    .option(
      '--exact',
      'Count every entry (default: above 200,000 entries, Completed ones are estimated and marked with ~)',
    )
    .action(({ exact }: { exact?: boolean }) =>
      withPool(async (pool) => {
        const found = await stats(pool, { exact: exact ?? false });
        answer(found, () => printStats(found));
      }),
    );
}

/** Limits the list of unknown types: a sender can invent any number of them. */
const MOST_TYPES = 20;

/** Null, which prints no line, when nothing is parked. */
function parkedText({ aggregates, since }: InboxStats['parked']): string | null {
  return aggregates === 0 ? null : `${aggregates}, the oldest for ${age(since!)}; see \`inbox outbox list\``;
}

function printStats(found: InboxStats): void {
  printTable(
    ['TYPE', { head: 'STATUS', paint: colorOf }, 'COUNT', 'OLDEST'],
    found.entries.map(({ commandType, status, count, oldest: since, estimated }) => [
      commandType,
      status,
      estimated ? `~${count}` : count,
      since && age(since),
    ]),
  );
  print('\nRecent rates');
  printTable(
    ['LAST MINUTES', 'RECEIVED', 'OF THESE COMPLETED', 'FAILED ATTEMPTS', 'DEAD LETTERS'],
    found.rates.map((rate) => [rate.minutes, rate.received, rate.completed, rate.failed, rate.deadLettered]),
  );
  const { pending, failed, openDeadLetter } = found.oldest;
  print('');
  printFields([
    ['oldest Pending', pending && age(pending)],
    ['oldest Failed', failed && age(failed)],
    ['oldest open dead letter', openDeadLetter && age(openDeadLetter)],
    ['parked aggregates', parkedText(found.parked)],
  ]);
  if (found.unknownTypes.length > 0) {
    print('\nWaiting for a worker that handles their type');
    printTable(
      ['TYPE', 'COUNT', 'OLDEST', { head: 'EXAMPLE', fit: 'whole' }],
      found.unknownTypes
        .slice(0, MOST_TYPES)
        .map(({ commandType, count, oldestMs, example }) => [
          commandType,
          count,
          duration(oldestMs),
          example,
        ]),
    );
    const left = found.unknownTypes.length - MOST_TYPES;
    if (left > 0) print(`… and ${left} more types`);
  }
  if (found.openDeadLetters.length === 0) return;
  print('\nOpen dead letters');
  printTable(
    ['ERROR', 'TYPE', 'COUNT', { head: 'EXAMPLE', fit: 'whole' }],
    found.openDeadLetters.map((row) => [row.errorType, row.commandType, row.count, row.example]),
  );
}
