/**
 * What a client sees of its command.
 *
 * @module
 */
import type { JsonObject } from '../core/json.ts';
import type { Entry } from '../store/entries.ts';

/**
 * The default representation of a command: its status, and its result once it has completed. It leaves out the payload, and
 * describes a failure only by its type, because the message of an error may contain something that the client must not see.
 *
 * @example
 * describe: (entry, key) => ({ ...statusBody(entry, key), order: entry.payload })
 */
export function statusBody(entry: Entry, key: string): JsonObject {
  const { status, receivedAt, processedAt, result, nextRetryAt } = entry;
  const errorType = errorTypeOf(entry);
  return {
    key,
    status,
    receivedAt: receivedAt.toISOString(),
    ...(status === 'Completed' && { completedAt: processedAt?.toISOString() ?? null, result }),
    ...(errorType !== null && { errorType }),
    ...(nextRetryAt && { nextRetryAt: nextRetryAt.toISOString() }),
  };
}

/** The type of the last failure, such as `SoldOut`, or null. */
export function errorTypeOf({ error }: Pick<Entry, 'error'>): string | null {
  // An entry's error is `Type: message`.
  return error?.split(': ', 1)[0] ?? null;
}
