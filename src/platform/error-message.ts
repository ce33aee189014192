/**
 * The message of any thrown value.
 *
 * @module
 */
import { types } from 'node:util';
import { maskSecrets } from './secrets.ts';

/**
 * Returns the message with secrets masked. An AggregateError, such as for a connection that was refused on both IPv6 and
 * IPv4, may have no message of its own, so the messages of its errors are joined.
 */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((inner) => messageOf(inner)).join('; ');
  return maskSecrets(isError(error) ? error.message : String(error));
}

/** Also for an error of another realm, such as that of Node's modules in Jest. */
function isError(error: unknown): error is Error {
  return types.isNativeError(error) || error instanceof Error;
}
