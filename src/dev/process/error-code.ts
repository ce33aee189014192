/**
 * Identifies Node's system errors by their code.
 *
 * @module
 */
import { types } from 'node:util';

/**
 * Returns true when the value is an error with one of these codes, such as `ENOENT`. It may be of another realm: Jest runs
 * tests, and what they import, in a realm whose `Error` is not the one of Node's modules.
 */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return types.isNativeError(error) && 'code' in error && codes.includes(String(error.code));
}
