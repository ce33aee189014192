/**
 * Checks the numbers in JSON text. JSON.parse silently changes numbers that a double cannot hold exactly, and turns 1e400
 * into Infinity. This module imports nothing, so workflows can use it.
 *
 * @module
 */

/** Almost all texts contain neither an exponent nor a run of 16 digits, so their numbers need no check. */
const MAY_BE_INEXACT = /\d[eE]|[\d.]{16}/;

const NUMBER_CHARACTERS = '0123456789+-.eE';

/** Postgres refuses numbers with more decimal places. */
const MAX_DECIMALS = 16_383;

/**
 * Finds the first number that JSON.parse would change: `1e400`, `1e-400`, `0.12345678901234567891`.
 *
 * @param text - valid JSON
 * @returns the problem as a phrase, or null
 */
export function findInexactNumber(text: string): string | null {
  if (!MAY_BE_INEXACT.test(text)) return null;
  for (const digits of numbersIn(text)) {
    if (isExact(digits)) continue;
    const shown = digits.length > 60 ? `${digits.slice(0, 60)}…` : digits;
    return `has the number ${shown}, which a double does not hold exactly; send it as a string`;
  }
  return null;
}

/** A loop instead of a regular expression, which could overflow the stack on a long string. */
function* numbersIn(text: string): Generator<string> {
  let at = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '"') {
      at = endOfString(text, at);
    } else if (character === '-' || (character >= '0' && character <= '9')) {
      const start = at;
      do at += 1;
      while (NUMBER_CHARACTERS.includes(text[at] ?? ' '));
      yield text.slice(start, at);
    } else {
      at += 1;
    }
  }
}

/** The index after the closing quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Returns true if a JSON number has the same value after JavaScript has read and written it. */
function isExact(digits: string): boolean {
  const value = Math.abs(Number(digits));
  if (!Number.isFinite(value)) return false;
  const { decimals, ...number } = readDecimal(digits);
  const written = readDecimal(String(value));
  return decimals <= MAX_DECIMALS && number.digits === written.digits && number.exponent === written.exponent;
}

/** A number as digits without leading or trailing zeros, times a power of ten. */
function readDecimal(text: string): { digits: string; exponent: number; decimals: number } {
  const [mantissa = '', power = '0'] = text.slice(text.startsWith('-') ? 1 : 0).split(/e/i);
  const [whole = '', fraction = ''] = mantissa.split('.');
  const all = whole + fraction;
  let start = 0;
  while (all[start] === '0') start += 1;
  let end = all.length;
  while (end > start && all[end - 1] === '0') end -= 1;
  const decimals = fraction.length - Number(power);
  const digits = all.slice(start, end);
  return { digits, exponent: digits === '' ? 0 : all.length - end - decimals, decimals };
}
