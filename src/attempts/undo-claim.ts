/**
 * Undoes the claims of interrupted attempts, so that they don't count as failed attempts. Retries until Postgres answers.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { doublingDelayMs } from '../core/retry-policy.ts';
import { withTimeout } from '../platform/deadline.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import { undoAttemptClaim } from '../store/entries.ts';
import type { Entry, GiveBack } from '../store/entries.ts';
import type { AttemptDependencies } from './dependencies.ts';

/** How long to wait for a claim to be undone. After that, the retries continue in the background. */
const WAIT_MS = 5_000;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 500;

/** Claims that are being undone, by message_id. If this process dies first, their attempts are recorded as WorkerLost. */
const undosInProgress = new WeakMap<Pool, Map<string, Promise<boolean>>>();

/**
 * done: the entry waits again. refused: the attempt is no longer the current one, or its command was interrupted too often.
 * later: Postgres has not answered yet.
 */
export type GivenBack = 'done' | 'refused' | 'later';

/** Undoes the claim, and waits up to 5 s for the result. Retries until Postgres answers, after the 5 s in the background. */
export async function undoClaim(
  dependencies: Pick<AttemptDependencies, 'records' | 'log'>,
  { messageId, commandType, attempt }: Entry,
  reason: unknown,
  how: GiveBack,
): Promise<GivenBack> {
  const { records, log } = dependencies;
  const undos = undosInProgress.get(records) ?? new Map<string, Promise<boolean>>();
  undosInProgress.set(records, undos);
  const undo = untilAnswered(records, () => undoAttemptClaim(records, messageId, attempt, how)).finally(() =>
    undos.delete(messageId),
  );
  undo.catch(() => {});
  undos.set(messageId, undo);
  const answer = await withinWait(undo);
  if (answer !== false) {
    const fields = { messageId, commandType, attempt, ...errorFields(reason) };
    log.warn('attempt was interrupted; it does not count as a failed attempt and will be repeated', fields);
  }
  if (answer === null) return 'later';
  return answer ? 'done' : 'refused';
}

/** Waits for an undo in progress. Call this before a message is claimed again in this process. */
export async function waitForUndo(records: Pool, messageId: string): Promise<void> {
  const undo = undosInProgress.get(records)?.get(messageId);
  if (undo) await withinWait(undo);
}

/** Stops when the pool ends: a worker that shuts down cannot wait for Postgres. */
async function untilAnswered<T>(pool: Pool, operation: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await operation();
    } catch (error) {
      if (pool.ending) throw error;
      await sleep(doublingDelayMs(FIRST_RETRY_MS, LONGEST_RETRY_MS, failures), undefined, { ref: false });
    }
  }
}

/** Null if Postgres does not answer in time. */
function withinWait(undo: Promise<boolean>): Promise<boolean | null> {
  return withTimeout(
    WAIT_MS,
    () => undo.catch(() => null),
    () => null,
  );
}
