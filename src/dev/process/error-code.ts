/**
 * Identifies Node's system errors by their code.
 *
 * @module
 */

/** Returns true when the value is an error with one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
