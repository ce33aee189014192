/**
 * Text from outside, made fit to be stored.
 *
 * @module
 */

/** Without NUL and lone surrogates, which Postgres refuses in text. */
export function cleanText(text: string): string {
  return text.replaceAll('\u0000', '').toWellFormed();
}

/** At most so many bytes of UTF-8, cut between characters and marked with `…` where something was cut. */
export function limitBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const mark = '…';
  const bytes = Buffer.from(text).subarray(0, maxBytes - Buffer.byteLength(mark));
  // A character cut in two decodes to U+FFFD at the end.
  return bytes.toString('utf8').replace(/\uFFFD$/, '') + mark;
}
