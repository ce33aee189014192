/**
 * Time limits for calls to Temporal.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** For one call; below the lease of an entry, which is given back when a start fails. */
export const ANSWER_LIMIT_MS = 10_000;

/** A Temporal client or connection: passes the limit on as the deadline of its gRPC calls. */
export interface WithDeadline {
  withDeadline<T>(deadline: number | Date, work: () => Promise<T>): Promise<T>;
}

/**
 * Runs `work` and rejects when it takes longer than `ms`: one call that hangs must not hold up everything behind it.
 *
 * @param what - names the call in the error, such as `the start of m-1`
 */
export async function withinLimit<T>(
  what: string,
  work: () => Promise<T>,
  { ms = ANSWER_LIMIT_MS, client }: { ms?: number; client?: WithDeadline } = {},
): Promise<T> {
  const answered = new AbortController();
  const tooLong = sleep(ms, undefined, { signal: answered.signal }).then(() => {
    throw new Error(`Temporal did not answer ${what} for ${ms} ms`);
  });
  try {
    const working = client ? client.withDeadline(Date.now() + ms, work) : work();
    return await Promise.race([tooLong, working]);
  } finally {
    answered.abort();
  }
}
