/**
 * Attempts that use up no try: their claims are undone, also when Postgres comes back only later.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { errorFields } from '../platform/postgres-errors.ts';
import { giveBackAttempt } from '../store/entries.ts';
import type { Entry, GiveBack } from '../store/entries.ts';
import type { AttemptDependencies } from './dependencies.ts';

/** How long an attempt waits for its claim to be undone; after that it goes on in the background. */
const WAIT_MS = 5_000;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 500;

/** Claims that are still to be undone, by message_id. Where this process dies first, they count as lost with their worker. */
const underWay = new WeakMap<Pool, Map<string, Promise<boolean>>>();

/** done: the entry waits again. refused: the attempt is not the current one, or was interrupted too often. later: no answer yet. */
export type GivenBack = 'done' | 'refused' | 'later';

/** Undoes the claim, and tries again until Postgres answers. */
export async function giveBack(
  dependencies: Pick<AttemptDependencies, 'records' | 'log'>,
  { messageId, commandType, attempt }: Entry,
  reason: unknown,
  how: GiveBack,
): Promise<GivenBack> {
  const { records, log } = dependencies;
  const claims = underWay.get(records) ?? new Map<string, Promise<boolean>>();
  underWay.set(records, claims);
  const undoing = untilAnswered(records, () => giveBackAttempt(records, messageId, attempt, how)).finally(
    () => claims.delete(messageId),
  );
  undoing.catch(() => {});
  claims.set(messageId, undoing);
  const answer = await withinWait(undoing);
  if (answer !== false) {
    const fields = { messageId, commandType, attempt, ...errorFields(reason) };
    log.warn('attempt was interrupted, uses up no try and will be repeated', fields);
  }
  if (answer === null) return 'later';
  return answer ? 'done' : 'refused';
}

/** Before a message is claimed again in this process. */
export async function claimsUndone(records: Pool, messageId: string): Promise<void> {
  const undoing = underWay.get(records)?.get(messageId);
  if (undoing) await withinWait(undoing);
}

/** Ends with the pool: a worker that shuts down cannot wait for Postgres. */
async function untilAnswered<T>(pool: Pool, ask: () => Promise<T>): Promise<T> {
  for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_RETRY_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (pool.ending) throw error;
      await sleep(delayMs, undefined, { ref: false });
    }
  }
}

/** Null when there is no answer in time. */
async function withinWait(undoing: Promise<boolean>): Promise<boolean | null> {
  const stop = new AbortController();
  const late = sleep(WAIT_MS, null, { signal: stop.signal }).catch(() => null);
  try {
    return await Promise.race([undoing.catch(() => null), late]);
  } finally {
    stop.abort();
  }
}
