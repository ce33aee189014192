import { Option } from 'commander';
import type { Command } from 'commander';
import { settingsFromEnv } from '../../settings.ts';
import { readDatabaseUrl } from '../../platform/postgres-url.ts';
import { InboxError } from '../../core/errors.ts';
import { dryRun } from '../../operations/index.ts';
import type { DryRunResult } from '../../operations/index.ts';
import { chosenBy, filterOptions, MESSAGE_IDS_HELP } from '../shared/filter-options.ts';
import type { FilterOptions } from '../shared/filter-options.ts';
import { loadCommands } from '../worker/load-commands.ts';
import { parseLimit } from '../shared/option-values.ts';
import { answer, cut, note, print, printTable } from '../shared/output.ts';
import { checkPayloadGoesWith, PAYLOAD_FORMS, payloadOf } from '../shared/payload-option.ts';

interface Options extends FilterOptions {
  commands: string;
  payload?: string;
  limit: number;
}

const ORDER: DryRunResult['outcome'][] = ['completes', 'refused', 'fails'];

export function addDryRun(program: Command): void {
  const command = filterOptions(program.command('dry-run').argument('[message-id...]', MESSAGE_IDS_HELP));
  command
    .description('Test a fix: run handlers against dead letters, in transactions that are always rolled back')
    .addOption(
      new Option(
        '--commands <module>',
        'JavaScript module that exports commands, as for `inbox worker` (required)',
      ).makeOptionMandatory(),
    )
    .option(
      '--payload <json>',
      `Try this payload instead of the stored one, for exactly one message: ${PAYLOAD_FORMS}`,
    )
    .option(
      '--limit <n>',
      'Maximum number of dead letters to try when you use filters, oldest first, 1 to 10000',
      parseLimit,
      1_000,
    )
    .action(async (messageIds: string[], options: Options) => {
      const filter = chosenBy(command, messageIds, options);
      checkPayloadGoesWith(command, messageIds, options.payload);
      const results = await dryRun({
        databaseUrl: readDatabaseUrl(),
        commands: (await loadCommands(options.commands)).commands,
        ...(filter === null ? { messageIds } : { filter, limit: options.limit }),
        ...(await payloadOf(options)),
        maxPayloadBytes: settingsFromEnv().maxPayloadBytes,
      });
      // Print this before the summary, which covers only the dead letters that were tried.
      if (filter !== null && results.length === options.limit)
        note(`tried the ${options.limit} oldest; there may be more: raise --limit`);
      report(results);
    });
}

function report(results: DryRunResult[]): void {
  const completes = results.filter(({ outcome }) => outcome === 'completes').length;
  answer(results, () => {
    printTable(
      ['MESSAGE ID', { head: 'WOULD', paint: colorOf }, { head: 'DETAILS', fit: 'wrap' }],
      // Failures come last, where they are still visible at the end of a long list.
      results
        .toSorted((a, b) => ORDER.indexOf(a.outcome) - ORDER.indexOf(b.outcome))
        .map((result) => [result.messageId, ...describeResult(result)]),
    );
    printGroups(results);
    print(`\n${completes} of ${results.length} would complete; nothing was changed`);
  });
  if (results.length === 0) throw new InboxError('no open dead letter matches');
  if (completes < results.length) {
    throw new InboxError(`${results.length - completes} of ${results.length} would not complete`);
  }
}

function colorOf(would: string): 'green' | 'red' {
  return would === 'complete' ? 'green' : 'red';
}

function describeResult(result: DryRunResult): [would: string, details: string] {
  switch (result.outcome) {
    case 'completes': {
      const events = result.events.map(({ type, aggregateid }) => `${type} ${aggregateid}`);
      const sends = result.sends.map(({ type, messageId }) => `send ${type} ${messageId}`);
      return [
        'complete',
        [...events, ...sends, `result ${cut(JSON.stringify(result.result), 200)}`].join('; '),
      ];
    }
    case 'fails': {
      const { type, message, retryable } = result.failure;
      return [retryable ? 'fail, and retry' : 'fail', `${type}: ${message}`];
    }
    case 'refused':
      return ['not be run', result.problem];
  }
}

/** Prints how many messages would still fail, by failure group. */
function printGroups(results: readonly DryRunResult[]): void {
  const counts = new Map<string, number>();
  for (const result of results) {
    if (result.outcome !== 'fails') continue;
    const { failureGroup } = result.failure;
    counts.set(failureGroup, (counts.get(failureGroup) ?? 0) + 1);
  }
  if (counts.size === 0) return;
  print('\nWould fail with');
  printTable(
    ['FAILURE GROUP', 'COUNT'],
    [...counts].toSorted(([, a], [, b]) => b - a),
  );
}
