/**
 * What an error says, whatever it is.
 *
 * @module
 */
import { hideSecrets } from './secrets.ts';

/** Without secrets. A refused connection on both IPv6 and IPv4 is an AggregateError without a message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((inner) => messageOf(inner)).join('; ');
  return hideSecrets(error instanceof Error ? error.message : String(error));
}
