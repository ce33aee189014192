import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { list } from '../../operations/index.ts';
import { STATUSES } from '../../core/protocol.ts';
import type { EntryStatus } from '../../core/protocol.ts';
import type { EntryFilter } from '../../operations/index.ts';
import { withPool } from '../shared/context.ts';
import { parseLimit, parseUuid, parseWhen, WHEN } from '../shared/option-values.ts';
import { answer, note, printTable } from '../shared/output.ts';
import type { Paint } from '../shared/terminal.ts';

interface Options {
  status?: EntryStatus;
  type?: string;
  correlation?: string;
  since?: Date;
  until?: Date;
  before?: string;
  limit: number;
}

export function addList(program: Command): void {
  program
    .command('list')
    .description('List inbox entries, newest first')
    .option('--status <status>', `Only entries with this status: ${STATUSES.join(', ')}`, parseStatus)
    .option('--type <type>', 'Only entries of this command type')
    .option(
      '--correlation <id>',
      'Only one flow: entries with this correlation_id, and the entry whose message_id it is',
    )
    .option('--since <when>', `Only entries received at or after this time: ${WHEN}`, parseWhen)
    .option(
      '--until <when>',
      'Only entries received before this time, in the same format as --since',
      parseWhen,
    )
    .option(
      '--before <id>',
      'Next page: only entries older than the one with this entry id (a UUID)',
      parseUuid,
    )
    .option('--limit <n>', 'Maximum number of entries to list, 1 to 10000', parseLimit, 20)
    .action((options: Options) =>
      withPool(async (pool) => {
        const entries = await list(pool, filterOf(options));
        answer(entries, () => printEntries(entries, options));
      }),
    );
}

function filterOf({ status, type, correlation, since, until, before, limit }: Options): EntryFilter {
  return {
    limit,
    ...(status && { status }),
    ...(type && { commandType: type }),
    ...(correlation && { correlationId: correlation }),
    ...(since && { since }),
    ...(until && { until }),
    ...(before && { before }),
  };
}

function printEntries(entries: Awaited<ReturnType<typeof list>>, { limit }: Options): void {
  printTable(
    [
      'MESSAGE ID',
      'TYPE',
      { head: 'STATUS', paint: colorOf },
      { head: 'RECEIVED', short: 'AGE' },
      'ATTEMPT',
      { head: 'ERROR', fit: 'cut' },
    ],
    entries.map((entry) => [
      entry.messageId,
      entry.commandType,
      entry.status,
      entry.receivedAt,
      entry.attempt,
      entry.error,
    ]),
  );
  const last = entries.at(-1);
  if (last && entries.length === limit) note(`more: --before ${last.id}`);
}

const COLORS: Record<string, Paint> = { DeadLetter: 'red', Failed: 'yellow', Completed: 'green' };

/** The color of a status in every table. */
export function colorOf(status: string): Paint | null {
  return COLORS[status] ?? null;
}

export function parseStatus(text: string): EntryStatus {
  const status = STATUSES.find((known) => known.toLowerCase() === text.toLowerCase());
  if (!status) throw new InvalidArgumentError(`Give one of ${STATUSES.join(', ')}.`);
  return status;
}
