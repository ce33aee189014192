/**
 * Formats values as text on one line of a terminal.
 *
 * @module
 */
import { makeVisible } from '../../core/text.ts';

/** Returns one line, with control characters, invisible characters and look-alikes escaped. */
export function printable(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return makeVisible(text.replace(/\r?\n|\t/g, ' '));
}

/** The time since `since` in one unit: `34s`, `5m`, `3h`, `12d`. */
export function age(since: Date, now: Date = new Date()): string {
  const seconds = Math.max(0, Math.round((now.getTime() - since.getTime()) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}
