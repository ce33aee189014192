/**
 * What people and programs read: tables on a terminal, JSON where asked. Answers go to stdout, all else to stderr.
 *
 * @module
 */
import Table from 'cli-table3';
import { escapeControls } from '../text.ts';

/** One line of text for a terminal. */
export function printable(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return escapeControls(text.replace(/[\n\t]/g, ' '));
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Escapes what JSON lets through and a terminal might act on. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2).split('\n').map(escapeControls).join('\n'));
}

/** Nothing but the head for no rows, so that the answer to `which?` is visibly none. */
export function printTable(head: string[], rows: unknown[][]): void {
  print(tableText(head, rows));
}

export function tableText(head: string[], rows: unknown[][]): string {
  const table = new Table({ head, style: { head: [], border: [], compact: true }, chars: PLAIN });
  table.push(...rows.map((row) => row.map((cell) => printable(cell))));
  return table.toString();
}

/** Names and values, one a line. */
export function printFields(fields: [name: string, value: unknown][]): void {
  const width = Math.max(...fields.map(([name]) => name.length));
  for (const [name, value] of fields) {
    if (value !== null && value !== undefined) print(`${name.padEnd(width)}  ${printable(value)}`);
  }
}

/** Cut for a table; the whole is in `inbox show` and in `--json`. */
export function cut(text: string | null, length: number): string {
  const line = printable(text);
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** How long ago, in one unit: `34s`, `5m`, `3h`, `12d`. */
export function age(since: Date, now: Date = new Date()): string {
  const seconds = Math.max(0, Math.round((now.getTime() - since.getTime()) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

const NOTHING = '';
/** Columns apart by spaces: it can be piped into awk and copied into a ticket. */
const PLAIN = {
  top: NOTHING,
  'top-mid': NOTHING,
  'top-left': NOTHING,
  'top-right': NOTHING,
  bottom: NOTHING,
  'bottom-mid': NOTHING,
  'bottom-left': NOTHING,
  'bottom-right': NOTHING,
  left: NOTHING,
  'left-mid': NOTHING,
  mid: NOTHING,
  'mid-mid': NOTHING,
  right: NOTHING,
  'right-mid': NOTHING,
  middle: ' ',
};
