import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { list } from '../../operations/index.ts';
import { STATUSES } from '../../core/protocol.ts';
import type { EntryStatus } from '../../core/protocol.ts';
import type { EntryFilter } from '../../store/reports.ts';
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
    .description('entries, newest first')
    .option('--status <status>', `one of ${STATUSES.join(', ')}`, parseStatus)
    .option('--type <type>', 'command type')
    .option('--correlation <id>', 'one flow: this correlation_id, and the command whose message_id it is')
    .option('--since <when>', `received at or after: ${WHEN}`, parseWhen)
    .option('--until <when>', 'received before', parseWhen)
    .option('--before <id>', "the next page: entries before the one with this entry's id", parseUuid)
    .option('--limit <n>', 'how many at most', parseLimit, 20)
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

/** The same everywhere. */
export function colorOf(status: string): Paint | null {
  return COLORS[status] ?? null;
}

export function parseStatus(text: string): EntryStatus {
  const status = STATUSES.find((known) => known.toLowerCase() === text.toLowerCase());
  if (!status) throw new InvalidArgumentError(`Give one of ${STATUSES.join(', ')}.`);
  return status;
}
