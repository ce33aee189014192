/**
 * What people and programs read: tables on a terminal, JSON with `--json`. Answers go to stdout, all else to stderr.
 *
 * @module
 */
import { hideSecrets } from '../../platform/secrets.ts';
import { makeVisible } from '../../core/text.ts';
import { age, printable } from './printable.ts';
import { writeError, writeOut } from './stdio.ts';
import { layOut } from './table.ts';
import type { Column } from './table.ts';
import { viewOf, widthOf, wrapTo } from './terminal.ts';
import type { View } from './terminal.ts';

export { age, printable };

/** With `--json`, stdout has one JSON text and nothing else, and each line of stderr is a JSON object. */
let json = false;

export function useJson(on: boolean): void {
  json = on;
}

export function isJson(): boolean {
  return json;
}

/** The answer of a command: the value as JSON where that was asked for, else what `show` prints. */
export function answer(value: unknown, show: () => void): void {
  if (json) printJson(value);
  else show();
}

export function print(line: string): void {
  writeOut(`${line}\n`);
}

/** To a person, beside the answer; without secrets. */
export function note(line: string): void {
  complain(line, { note: line });
}

/** To a person; with `--json` to the program, as an object. Without secrets. */
export function complain(line: string, object: object): void {
  writeError(json ? `${oneLine(withoutSecrets(object))}\n` : `${hideSecrets(line)}\n`);
}

function withoutSecrets(object: object): unknown {
  return JSON.parse(JSON.stringify(object), (_key, value: unknown) =>
    typeof value === 'string' ? hideSecrets(value) : value,
  );
}

/** Escapes what JSON lets through and a terminal might act on. */
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

/** @param view - of the stream that it goes to */
export function tableText(
  head: readonly (string | Column)[],
  rows: readonly unknown[][],
  view: View = viewOf(process.stdout),
): string {
  return layOut(head, rows, view);
}

export type Field = [name: string, value: unknown];

/** Names and values, one a line; long texts and large JSON on lines of their own. Without a value a field is left out. */
export function printFields(fields: readonly Field[], view: View = viewOf(process.stdout)): void {
  const shown = fields.filter(([, value]) => value !== null && value !== undefined);
  const names = Math.max(...fields.map(([name]) => widthOf(name)));
  for (const [name, value] of shown) {
    const { lines, own } = blockOf(value, names + 2, view);
    if (own) print([view.colors.bold(name), ...lines.map((line) => `  ${line}`)].join('\n'));
    else print(`${view.colors.bold(name)}${' '.repeat(names + 2 - widthOf(name))}${lines[0]!}`.trimEnd());
  }
}

/** JSON that is shorter than this stays on the line of its name, also where there is no terminal. */
const SHORT_JSON = 80;
/** On a terminal; more would only push away what stands above. */
const MOST_LINES = 100;

function blockOf(value: unknown, indent: number, { width }: View): { lines: string[]; own: boolean } {
  const room = width === null ? Infinity : width - indent;
  const line = printable(value);
  if (typeof value === 'object' && !(value instanceof Date)) {
    if (line.length <= SHORT_JSON && widthOf(line) <= room) return { lines: [line], own: false };
    return { lines: fitted(prettyJson(value), width), own: true };
  }
  const several = typeof value === 'string' && /\n./.test(value);
  if (!several && (line.length <= room / 2 || widthOf(line) <= room)) return { lines: [line], own: false };
  const lines = several ? value.split('\n').map((one) => printable(one)) : [line];
  return { lines: fitted(lines, width), own: true };
}

function fitted(lines: string[], width: number | null): string[] {
  if (width === null) return lines;
  const shown = lines.slice(0, MOST_LINES).flatMap((line) => wrapTo(line, width - 2));
  const left = lines.length - MOST_LINES;
  return left > 0 ? [...shown, `… ${left} more lines: --json has them all`] : shown;
}

/** Cut for a table; the whole is in `inbox show` and in `--json`. */
export function cut(text: string | null, length: number): string {
  const line = printable(text);
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
