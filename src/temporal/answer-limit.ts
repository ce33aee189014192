/**
 * Time limits for calls to Temporal.
 *
 * @module
 */
import { withTimeout } from '../platform/deadline.ts';

/** Limit for one call. It is shorter than the lease of an entry, which is released when a start fails. */
export const ANSWER_LIMIT_MS = 10_000;

/** A Temporal client or connection: it passes the limit on as the deadline of its gRPC calls. */
export interface WithDeadline {
  withDeadline<T>(deadline: number | Date, work: () => Promise<T>): Promise<T>;
}

/**
 * Runs `work` and rejects if it takes longer than `ms`: one call that hangs must not block all that follow it.
 *
 * @param what - describes the call in the error, for example `the start of m-1`
 */
export function withinLimit<T>(
  what: string,
  work: () => Promise<T>,
  { ms = ANSWER_LIMIT_MS, client }: { ms?: number; client?: WithDeadline } = {},
): Promise<T> {
  return withTimeout(
    ms,
    () => (client ? client.withDeadline(Date.now() + ms, work) : work()),
    () => {
      throw new Error(`Temporal did not answer within ${ms} ms: ${what}`);
    },
  );
}
