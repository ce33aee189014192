/**
 * Makes untrusted text safe to store and to show.
 *
 * @module
 */
import { findLookAlikes } from './look-alikes.ts';

/** Removes NUL and lone surrogates, which Postgres refuses in text. */
export function cleanText(text: string): string {
  return text.replaceAll('\u0000', '').toWellFormed();
}

/** Cuts a text to at most `maxLength` UTF-16 code units, without splitting a surrogate pair at the end. */
export function cutText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replace(/[\ud800-\udbff]$/, '');
}

/** Returns true if a text has the format in which Postgres writes a uuid, of any version. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** Cuts a text to at most `maxBytes` bytes of UTF-8, between two characters, and ends a cut text with `…`. */
export function limitBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const mark = '…';
  const bytes = Buffer.from(text).subarray(0, maxBytes - Buffer.byteLength(mark));
  // A split character at the end is decoded as U+FFFD.
  return bytes.toString('utf8').replace(/\uFFFD$/, '') + mark;
}

/**
 * Characters that a terminal would interpret or not show: control characters, line and paragraph separators, and all that
 * Unicode renders as nothing (zero-width characters, direction marks, soft hyphens, fillers, tags).
 */
const HIDDEN = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffc]/u;
/** Invisible parts of an emoji: the joiner of 👩‍💻, and the selector of ☎️ and 1️⃣. */
const INSIDE_EMOJI =
  /(?<=\p{Extended_Pictographic}\p{Emoji_Modifier}?\ufe0f?)\u200d(?=\p{Extended_Pictographic})|(?<=\p{Extended_Pictographic})\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)/gu;

/** Scripts in which a joiner is part of the spelling, for example those of Persian and Hindi. */
const JOINING =
  '\\p{Script=Arabic}\\p{Script=Devanagari}\\p{Script=Bengali}\\p{Script=Sinhala}\\p{Script=Malayalam}\\p{Script=Kannada}';
const INSIDE_WORD = new RegExp(`(?<=[${JOINING}])[\\u200c\\u200d](?=[${JOINING}])`, 'gu');
const PRINTABLE_ASCII = /^[\u0020-\u007e]*$/;

/**
 * Replaces control characters, invisible characters and look-alikes with escapes such as `\\u001b`. Error texts and ids come
 * from outside: they must not color the terminal or move its cursor, and two different ids must look different. JSON text
 * keeps its meaning.
 */
export function makeVisible(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  const kept = new Set(
    [INSIDE_EMOJI, INSIDE_WORD].flatMap((inside) => [...text.matchAll(inside)].map(({ index }) => index)),
  );
  const alike = findLookAlikes(text);
  return text.replace(/./gsu, (character: string, index: number) => {
    const isHidden = alike.has(index) || (HIDDEN.test(character) && !kept.has(index));
    return isHidden ? escapeUnits(character) : character;
  });
}

/** A character beyond U+FFFF becomes two escapes, as in JSON. */
function escapeUnits(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
