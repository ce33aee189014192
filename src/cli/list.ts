import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { list } from '../operations.ts';
import { STATUSES } from '../protocol.ts';
import type { EntryStatus } from '../protocol.ts';
import type { EntryFilter } from '../store/reports.ts';
import { isUuid } from '../text.ts';
import { withPool } from './context.ts';
import { cut, note, printJson, printTable } from './output.ts';

interface Options {
  status?: EntryStatus;
  type?: string;
  correlation?: string;
  before?: string;
  limit: number;
  json?: boolean;
}

export function addList(program: Command): void {
  program
    .command('list')
    .description('entries, newest first')
    .option('--status <status>', `one of ${STATUSES.join(', ')}`, parseStatus)
    .option('--type <type>', 'command type')
    .option('--correlation <id>', 'correlation_id')
    .option('--before <id>', "the next page: entries before the one with this entry's id", parseUuid)
    .option('--limit <n>', 'at most so many', parseLimit, 20)
    .option('--json', 'JSON on stdout')
    .action((options: Options) =>
      withPool(async (pool) => printEntries(await list(pool, filterOf(options)), options)),
    );
}

function filterOf({ status, type, correlation, before, limit }: Options): EntryFilter {
  return {
    limit,
    ...(status && { status }),
    ...(type && { commandType: type }),
    ...(correlation && { correlationId: correlation }),
    ...(before && { before }),
  };
}

function printEntries(entries: Awaited<ReturnType<typeof list>>, { json, limit }: Options): void {
  if (json) return printJson(entries);
  printTable(
    ['MESSAGE ID', 'TYPE', 'STATUS', 'RECEIVED', 'ATTEMPT', 'ERROR'],
    entries.map((entry) => [
      entry.messageId,
      entry.commandType,
      entry.status,
      entry.receivedAt,
      entry.attempt,
      cut(entry.error, 60),
    ]),
  );
  const last = entries.at(-1);
  if (last && entries.length === limit) note(`more: --before ${last.id}`);
}

export function parseStatus(text: string): EntryStatus {
  const status = STATUSES.find((known) => known.toLowerCase() === text.toLowerCase());
  if (!status) throw new InvalidArgumentError(`It is one of ${STATUSES.join(', ')}.`);
  return status;
}

export function parseUuid(text: string): string {
  if (!isUuid(text)) throw new InvalidArgumentError('It is no uuid.');
  return text;
}

export function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
    throw new InvalidArgumentError('It is a whole number from 1 to 10000.');
  }
  return limit;
}
