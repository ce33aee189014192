import { Option } from 'commander';
import type { Command } from 'commander';
import { deadLetters, deadLettersOf, failureGroups } from '../../operations/index.ts';
import type { DeadLetterQuery } from '../../operations/index.ts';
import { RESOLUTION_STATES } from '../../operations/index.ts';
import type { ResolutionState } from '../../operations/index.ts';
import { withPool } from '../shared/context.ts';
import { filterOf, filterOptions } from '../shared/filter-options.ts';
import type { FilterOptions } from '../shared/filter-options.ts';
import { parseLimit, parseUuid } from '../shared/option-values.ts';
import { deadLettersLink, failureGroupLink, workflowLink } from '../../temporal/web-ui.ts';
import type { WebUi } from '../../temporal/web-ui.ts';
import { readWebUi } from '../shared/web-ui.ts';
import { age, answer, note, print, printable, printFields, printTable } from '../shared/output.ts';

interface Options extends FilterOptions {
  status: ResolutionState;
  limit: number;
  before?: string;
}

export function addDeadLetters(program: Command): void {
  const command = program
    .command('dead-letters')
    .description('Show dead letters, and how they were resolved');
  queryOptions(command.command('list', { isDefault: true }))
    .description('List dead letters, newest first')
    .option(
      '--before <id>',
      'Next page: only dead letters older than the one with this dead letter id (a UUID)',
      parseUuid,
    )
    .action((options: Options) =>
      withPool(async (pool) => {
        const letters = await deadLetters(pool, queryOf(options));
        answer(letters, () => printList(letters, options));
      }),
    );
  queryOptions(command.command('groups'))
    .description('Count dead letters by cause, most frequent first')
    .action((options: Options) =>
      withPool(async (pool) => {
        const groups = await failureGroups(pool, queryOf(options));
        answer(groups, () => printGroups(groups, options));
      }),
    );
  command
    .command('show <id>')
    .description(
      'Show all dead letters of the message with this message_id, or the one dead letter with this id, with payloads',
    )
    .action((id: string) =>
      withPool(async (pool) => {
        const letters = await deadLettersOf(pool, id);
        answer(letters, () => {
          if (letters.length === 0) note('this message was never a dead letter');
          for (const letter of letters) printLetter(letter);
        });
      }),
    );
}

function queryOptions(command: Command): Command {
  return filterOptions(command)
    .addOption(
      new Option('--status <status>', 'Only dead letters with this status')
        .choices(RESOLUTION_STATES)
        .default('open'),
    )
    .option('--limit <n>', 'Maximum number of rows to show, 1 to 10000', parseLimit, 100);
}

function queryOf(options: Options): DeadLetterQuery {
  const { status, limit, before } = options;
  return { ...filterOf(options), state: status, limit, ...(before !== undefined && { before }) };
}

type Letters = Awaited<ReturnType<typeof deadLetters>>;
type Groups = Awaited<ReturnType<typeof failureGroups>>;

/** Null for resolved dead letters, which have no list of their own in the Web UI. */
function webUiFor({ status }: Options): WebUi | null {
  return status === 'open' ? readWebUi() : null;
}

function noteLink(options: Options): void {
  const { group } = options;
  const webUi = webUiFor(options);
  if (webUi === null) return;
  note(
    group === undefined
      ? `all open dead letters in Temporal's Web UI: ${deadLettersLink(webUi)}`
      : `this group in Temporal's Web UI: ${failureGroupLink(webUi, group)}`,
  );
}

function printList(letters: Letters, options: Options): void {
  const { limit } = options;
  printTable(
    [
      'MESSAGE ID',
      'TYPE',
      { head: 'DEAD SINCE', short: 'AGE' },
      'ATTEMPTS',
      'RESOLVED',
      { head: 'ERROR', fit: 'cut' },
    ],
    letters.map((letter) => [
      letter.messageId,
      letter.commandType,
      letter.deadAt,
      letter.retryCount,
      letter.resolution ?? '',
      letter.error,
    ]),
  );
  if (letters.length > 0) noteLink(options);
  const last = letters.at(-1);
  if (last && letters.length === limit) note(`more: --before ${last.id}`);
}

/** More links would fill the screen. */
const MAX_LINKS = 5;

function printGroups(groups: Groups, options: Options): void {
  printTable(
    ['FAILURE GROUP', 'COUNT', 'FIRST', 'LAST', 'BUILDS', 'EXAMPLE', { head: 'ERROR', fit: 'cut' }],
    groups.map((group) => [
      group.failureGroup,
      group.count,
      age(group.firstDeadAt),
      age(group.lastDeadAt),
      group.buildIds.map((id) => id ?? '-').join(', '),
      group.example.messageId,
      group.example.error,
    ]),
  );
  noteGroupLinks(groups, options);
}

function noteGroupLinks(groups: Groups, options: Options): void {
  const webUi = webUiFor(options);
  if (webUi === null || groups.length === 0) return;
  note("in Temporal's Web UI:");
  for (const { failureGroup } of groups.slice(0, MAX_LINKS)) {
    note(`  ${printable(failureGroup)}: ${failureGroupLink(webUi, failureGroup)}`);
  }
  if (groups.length > MAX_LINKS) note(`  all: ${deadLettersLink(webUi)}`);
}

function printLetter(letter: Letters[number]): void {
  const webUi = readWebUi();
  printFields([
    ['dead letter', letter.id],
    ['message id', letter.messageId],
    ['generation', letter.generation],
    ['type', letter.commandType],
    ['dead since', letter.deadAt],
    ['reason', `${letter.reason}, after ${letter.retryCount} failed attempts`],
    ['failure group', letter.failureGroup],
    ['error', letter.error],
    ['build', letter.buildId],
    ['payload', letter.prunedAt ? null : letter.payload],
    [
      'resolved',
      letter.resolution === null ? 'no, it is open' : `${letter.resolution} by ${letter.resolvedBy}`,
    ],
    ['resolved at', letter.resolvedAt],
    ['resolved because', letter.resolvedReason],
    ['pruned', letter.prunedAt],
    ['web ui', webUi && workflowLink(webUi, letter.messageId)],
  ]);
  print('');
}
