/**
 * The message of any thrown value.
 *
 * @module
 */
import { maskSecrets } from './secrets.ts';

/** Secrets are masked. A connection refused on both IPv6 and IPv4 is an AggregateError without a message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((inner) => messageOf(inner)).join('; ');
  return maskSecrets(error instanceof Error ? error.message : String(error));
}
