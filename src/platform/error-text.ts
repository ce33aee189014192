/**
 * The text of an error, without the data that an ORM adds to it.
 *
 * @module
 */
import { isError, readText, safely, sqlStateOf } from './error-chain.ts';

/** Drizzle writes `Failed query: insert …` and, on a new line, all parameters, which may contain line breaks. */
const DRIZZLE_PARAMETERS = /(Failed query: [\s\S]*?)\nparams: [\s\S]*$/;
/** Knex and MikroORM put the statement before the message, with the parameters inserted. */
const STATEMENT = new RegExp(
  String.raw`^\s*(?:[(/]|--|(?:${[
    'with|select|insert|update|delete|merge|values|table|call|do|begin|start|commit|rollback|savepoint|release',
    'alter|create|drop|truncate|lock|set|reset|show|explain|analyze|refresh|grant|revoke|comment|copy|execute',
    'prepare|deallocate|declare|fetch|move|close|listen|notify',
  ].join('|')})\b)`,
  'i',
);

/** The error's own message, without the statement parameters that an ORM adds. */
export function messageOfError(error: object): string {
  const text = isError(error)
    ? (safely(() => String(error.message as unknown)) ?? '')
    : readText(error, 'message') || readText(error, 'originalMessage');
  return withoutParameters(text, error);
}

function withoutParameters(text: string, error: object): string {
  if (readText(error, 'name').startsWith('PrismaClient')) return lastParagraph(text);
  if (sqlStateOf(error) !== null) return withoutStatement(text);
  return cutParameters(text);
}

/** Removes the list of parameters that Drizzle adds after a statement. */
export function cutParameters(text: string): string {
  return text.replace(DRIZZLE_PARAMETERS, '$1');
}

/** Prisma shows the call with its arguments first, and the problem last. */
function lastParagraph(text: string): string {
  return (
    text
      .trim()
      .split(/\n\s*\n/)
      .at(-1)
      ?.trim() ?? ''
  );
}

/** `insert into "t" values ('secret') - duplicate key value …`: Postgres's own message follows the last hyphen. */
function withoutStatement(text: string): string {
  const end = STATEMENT.test(text) ? text.lastIndexOf(' - ') : -1;
  return end === -1 ? text : text.slice(end + 3);
}

/** The lines of a stack trace that name code locations. */
export function framesOf(stack: string): string {
  return /(?:^|\n)(\s+at [\s\S]*)$/.exec(stack)?.[1] ?? '';
}
