import type { Command } from 'commander';
import { duration } from '../finding.ts';
import { stats } from '../operations.ts';
import type { InboxStats } from '../operations.ts';
import { withPool } from './context.ts';
import { age, print, printFields, printJson, printTable } from './output.ts';

export function addStats(program: Command): void {
  program
    .command('stats')
    .description(
      'entries by type and status, what came and failed lately, and open dead letters by what failed',
    )
    .option('--exact', 'count every entry, where the Completed ones of many would be estimated (~)')
    .option('--json', 'JSON on stdout')
    .action(({ exact, json }: { exact?: boolean; json?: boolean }) =>
      withPool(async (pool) => {
        const answer = await stats(pool, { exact: exact ?? false });
        if (json) return printJson(answer);
        printTable(
          ['TYPE', 'STATUS', 'COUNT', 'OLDEST'],
          answer.entries.map(({ commandType, status, count, oldest: since, estimated }) => [
            commandType,
            status,
            estimated ? `~${count}` : count,
            since && age(since),
          ]),
        );
        print('\nIn the last');
        printTable(
          ['MINUTES', 'RECEIVED', 'OF THESE COMPLETED', 'FAILED ATTEMPTS', 'DEAD LETTERS'],
          answer.rates.map((rate) => [
            rate.minutes,
            rate.received,
            rate.completed,
            rate.failed,
            rate.deadLettered,
          ]),
        );
        const { pending, failed, openDeadLetter } = answer.oldest;
        print('');
        printFields([
          ['oldest Pending', pending && age(pending)],
          ['oldest Failed', failed && age(failed)],
          ['oldest open dead letter', openDeadLetter && age(openDeadLetter)],
          ['parked aggregates', parkedText(answer.parked)],
        ]);
        if (answer.unknownTypes.length > 0) {
          print('\nWaiting for a worker that knows their type');
          printTable(
            ['TYPE', 'COUNT', 'OLDEST', 'EXAMPLE'],
            answer.unknownTypes.map(({ commandType, count, oldestMs, example }) => [
              commandType,
              count,
              duration(oldestMs),
              example,
            ]),
          );
        }
        if (answer.openDeadLetters.length === 0) return;
        print('\nOpen dead letters');
        printTable(
          ['ERROR', 'TYPE', 'COUNT', 'EXAMPLE'],
          answer.openDeadLetters.map((row) => [row.errorType, row.commandType, row.count, row.example]),
        );
      }),
    );
}

/** Null, and no line, when there are none. */
function parkedText({ aggregates, since }: InboxStats['parked']): string | null {
  return aggregates === 0 ? null : `${aggregates}, the first for ${age(since!)}; see \`inbox outbox list\``;
}
