/**
 * Measures text in the units that Postgres uses.
 *
 * @module
 */

/** Returns true if a text has more than `limit` characters (code points). JavaScript's `length` counts an emoji as two. */
export function isLongerThan(text: string, limit: number): boolean {
  if (text.length <= limit) return false;
  if (text.length > 2 * limit) return true;
  return Array.from(text).length > limit;
}
