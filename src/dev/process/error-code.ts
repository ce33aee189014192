/**
 * Node's system errors are told apart by their code.
 *
 * @module
 */

/** Whether it is an error with one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
