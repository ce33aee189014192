/**
 * Text from outside, made fit to be stored.
 *
 * @module
 */

/** Without NUL and lone surrogates, which Postgres refuses in text. */
export function cleanText(text: string): string {
  return text.replaceAll('\u0000', '').toWellFormed();
}

/** Written as Postgres writes a uuid, of any version. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** At most so many bytes of UTF-8, cut between characters and marked with `…` where something was cut. */
export function limitBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const mark = '…';
  const bytes = Buffer.from(text).subarray(0, maxBytes - Buffer.byteLength(mark));
  // A character cut in two decodes to U+FFFD at the end.
  return bytes.toString('utf8').replace(/\uFFFD$/, '') + mark;
}

/**
 * Control characters and those that turn the direction of writing, as `\\u001b`: neither a colour code in an error's
 * text nor a cursor movement may reach the terminal of whoever is on call. What is inside a JSON text keeps its meaning.
 */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
