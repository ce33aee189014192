import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { auditTrail } from '../operations.ts';
import type { AuditFilter, AuditTrailLine } from '../operations.ts';
import { toMilliseconds } from '../registry.ts';
import { withPool } from './context.ts';
import { cut, note, printJson, printTable } from './output.ts';

interface Options extends Omit<AuditFilter, 'messageId'> {
  message?: string;
  json?: boolean;
}

export function addAudit(program: Command): void {
  program
    .command('audit')
    .description('what operators did, newest first')
    .option('--actor <name>', 'done by this one')
    .option('--message <id>', 'to this message')
    .option('--action <name>', 'such as replay or discard')
    .option(
      '--since <time>',
      'at or after it: 2026-03-01, 2026-03-01T09:30Z, or 24h for so long ago',
      parseTime,
    )
    .option('--until <time>', 'before it', parseTime)
    .option('--before <id>', 'the next page: lines before the one with this id', parseWhole)
    .option('--limit <n>', 'at most so many', parseWhole, 50)
    .option('--json', 'JSON on stdout')
    .action(({ message, json = false, ...filter }: Options) =>
      withPool(async (pool) => {
        const lines = await auditTrail(
          pool,
          message === undefined ? filter : { ...filter, messageId: message },
        );
        if (json) printJson(lines);
        else printLines(lines, filter.limit);
      }),
    );
}

function printLines(lines: AuditTrailLine[], limit: number): void {
  printTable(
    ['ID', 'AT', 'ACTOR', 'ACTION', 'MESSAGE ID', 'REASON'],
    lines.map((line) => [line.id, line.at, line.actor, line.action, line.messageId, cut(line.reason, 60)]),
  );
  const last = lines.at(-1);
  if (last && lines.length === limit) note(`more: --before ${last.id}`);
}

function parseTime(text: string): Date {
  const ago = /^\d+ ?[a-z]+$/i.test(text) ? toMilliseconds(text) : null;
  const time = ago === null ? parseDate(text) : new Date(Date.now() - ago);
  if (Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError(
      'It is a time such as 2026-03-01T09:30Z, or how long ago, such as 24h or 7d.',
    );
  }
  return time;
}

/** Only ISO: what else Date takes, it reads in a way of its own. */
function parseDate(text: string): Date {
  return new Date(/^\d{4}-\d{2}-\d{2}/.test(text) ? text : Number.NaN);
}

function parseWhole(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 on.');
  return Number(text);
}
