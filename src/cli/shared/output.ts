/**
 * Output of commands: tables for people, JSON with `--json`. Results go to stdout, everything else to stderr.
 *
 * @module
 */
import { maskSecrets } from '../../platform/secrets.ts';
import { makeVisible } from '../../core/text.ts';
import { age, printable } from './printable.ts';
import { writeError, writeOut } from './stdio.ts';
import { layOut } from './table.ts';
import type { Column } from './table.ts';
import { viewOf, widthOf, wrapTo } from './terminal.ts';
import type { View } from './terminal.ts';

export { age, printable };

/** With `--json`, stdout has exactly one JSON text, and each line of stderr is a JSON object. */
let json = false;

export function useJson(on: boolean): void {
  json = on;
}

export function isJson(): boolean {
  return json;
}

/** Prints the result of a command: with `--json`, `value` as JSON; otherwise calls `show`, which prints it as text. */
export function answer(value: unknown, show: () => void): void {
  if (json) printJson(value);
  else show();
}

export function print(line: string): void {
  writeOut(`${line}\n`);
}

/** Prints a remark for a person to stderr, with secrets hidden. */
export function note(line: string): void {
  complain(line, { note: line });
}

/** Prints to stderr, with secrets hidden: `line` for a person, or `object` with `--json`. */
export function complain(line: string, object: object): void {
  writeError(json ? `${oneLine(withoutSecrets(object))}\n` : `${maskSecrets(line)}\n`);
}

function withoutSecrets(object: object): unknown {
  return JSON.parse(JSON.stringify(object), (_key, value: unknown) =>
    typeof value === 'string' ? maskSecrets(value) : value,
  );
}

/** Prints a value as JSON, and escapes characters that JSON allows but a terminal might interpret. */
export function printJson(value: unknown): void {
  print(prettyJson(value).join('\n'));
}

function oneLine(value: unknown): string {
  return makeVisible(JSON.stringify(value));
}

function prettyJson(value: unknown): string[] {
  return JSON.stringify(value, null, 2).split('\n').map(makeVisible);
}

export function printTable(head: readonly (string | Column)[], rows: readonly unknown[][]): void {
  print(tableText(head, rows));
}

/** @param view - of the stream that the table is written to */
export function tableText(
  head: readonly (string | Column)[],
  rows: readonly unknown[][],
  view: View = viewOf(process.stdout),
): string {
  return layOut(head, rows, view);
}

export type Field = [name: string, value: unknown];

/** Prints one name and value per line. Long texts and large JSON get their own lines. Fields without a value are omitted. */
export function printFields(fields: readonly Field[], view: View = viewOf(process.stdout)): void {
  const shown = fields.filter(([, value]) => value !== null && value !== undefined);
  const names = Math.max(...fields.map(([name]) => widthOf(name)));
  for (const [name, value] of shown) {
    const { lines, ownLines } = blockOf(value, names + 2, view);
    if (ownLines) print([view.colors.bold(name), ...lines.map((line) => `  ${line}`)].join('\n'));
    else print(`${view.colors.bold(name)}${' '.repeat(names + 2 - widthOf(name))}${lines[0]!}`.trimEnd());
  }
}

/** JSON up to this length stays on the line of its name, even without a terminal. */
const SHORT_JSON = 80;
/** Maximum number of lines for one value on a terminal, so that the fields above stay visible. */
const MOST_LINES = 100;

function blockOf(value: unknown, indent: number, { width }: View): { lines: string[]; ownLines: boolean } {
  const room = width === null ? Infinity : width - indent;
  const line = printable(value);
  if (typeof value === 'object' && !(value instanceof Date)) {
    if (line.length <= SHORT_JSON && widthOf(line) <= room) return { lines: [line], ownLines: false };
    return { lines: fitted(prettyJson(value), width), ownLines: true };
  }
  const hasSeveralLines = typeof value === 'string' && /\n./.test(value);
  if (!hasSeveralLines && (line.length <= room / 2 || widthOf(line) <= room))
    return { lines: [line], ownLines: false };
  const lines = hasSeveralLines ? value.split('\n').map((one) => printable(one)) : [line];
  return { lines: fitted(lines, width), ownLines: true };
}

function fitted(lines: string[], width: number | null): string[] {
  if (width === null) return lines;
  const shown = lines.slice(0, MOST_LINES).flatMap((line) => wrapTo(line, width - 2));
  const left = lines.length - MOST_LINES;
  return left > 0 ? [...shown, `… ${left} more lines; use --json to see all of them`] : shown;
}

/** Cuts a text for a table. `inbox show` and `--json` show all of it. */
export function cut(text: string | null, length: number): string {
  const line = printable(text);
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
