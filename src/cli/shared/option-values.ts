/**
 * Parsers for option values. They run before the command starts: a bad value is wrong usage, exit code 2.
 *
 * @module
 */
import { InvalidArgumentError } from 'commander';
import { toMilliseconds } from '../../core/duration.ts';
import { isUuid } from '../../core/text.ts';

/** Called by Commander. Throws InvalidArgumentError. */
export type Parser<T> = (text: string) => T;

/** For help texts. */
export const WHEN =
  'an ISO 8601 time such as 2026-03-01T09:30Z (UTC without a zone), or how long ago, such as 2h or 7d';

/** Parses an ISO 8601 time, or a duration before now. Refuses a bare number, which would be ambiguous. */
export function parseWhen(text: string): Date {
  const ago = /^\d+(\.\d+)?\s*[a-z]+$/i.test(text) ? toMilliseconds(text) : null;
  const when = ago === null ? parseIso(text.trim()) : new Date(Date.now() - ago);
  // Only years 1 to 9999: Postgres has no year 0, and later years need more than four digits.
  if (!(when.getTime() >= FIRST && when.getTime() < LAST)) {
    throw new InvalidArgumentError(
      'Give a time such as 2026-03-01T09:30Z, or how long ago, such as 2h or 7d.',
    );
  }
  return when;
}

const FIRST = Date.parse('0001-01-01T00:00:00Z');
const LAST = Date.UTC(10_000, 0);
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?\s*(Z|[+-]\d\d:?\d\d)?)?$/i;

/** Accepts only ISO 8601. `Date` also parses other formats in surprising ways, and turns February 30 into a day in March. */
function parseIso(text: string): Date {
  const parts = ISO.exec(text);
  if (!parts) return new Date(Number.NaN);
  const [, year, month, day, hour, , , zone] = parts;
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number(day) > lastDay) return new Date(Number.NaN);
  if (hour === undefined) return new Date(text);
  const iso = text
    .replace(/^(.{10})[ T]/i, '$1T')
    .replaceAll(' ', '')
    .toUpperCase();
  return new Date(zone === undefined ? `${iso}Z` : iso.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
}

/** Returns milliseconds. Refuses a bare number: `--older-than 30` would mean 30 ms and delete everything. */
export function parseAge(text: string): number {
  const ms = /^\d.*[a-z]$/i.test(text.trim()) ? toMilliseconds(text.trim()) : null;
  if (ms === null) throw new InvalidArgumentError('Give a number with a unit, such as 30d, 12h or 1y.');
  return ms;
}

export function wholeNumber(min: number, max: number): Parser<number> {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

export function decimal(min: number, max: number): Parser<number> {
  return (text) => {
    const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`Give a number from ${min} to ${max}.`);
    return value;
  };
}

export const parseLimit = wholeNumber(1, 10_000);

export function parseUuid(text: string): string {
  if (!isUuid(text)) throw new InvalidArgumentError('Give a UUID.');
  return text;
}
