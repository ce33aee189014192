/**
 * Locks that a migration waits for: who holds them, and how long to go on trying.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { CommandLog } from './command.ts';
import { isDeadlock, isLockNotAvailable } from './database.ts';
import { MigrationBlockedError } from './errors.ts';
import { findBlockingSessions } from './store/blockers.ts';
import type { BlockingSession } from './store/blockers.ts';

/** The attempt to migrate ended because another session holds a lock; its transaction was rolled back. */
export class LockedOutError extends Error {
  override readonly name = 'LockedOutError';

  constructor(
    readonly what: string,
    readonly holders: readonly BlockingSession[],
  ) {
    super(what);
  }
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

export interface Patience {
  /** How long to go on trying, in ms. */
  waitMs: number;
  log: CommandLog;
}

/**
 * Tries again while another session holds a lock. Between two tries nothing is locked and nothing is queued for a lock, so
 * whatever waited behind the migration goes on.
 *
 * @throws MigrationBlockedError when the time is over; what `attempt` throws otherwise
 */
export async function untilUnlocked<T>(attempt: () => Promise<T>, { waitMs, log }: Patience): Promise<T> {
  const began = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LockedOutError)) throw error;
      const blockedBy = describeSessions(error.holders);
      const leftMs = waitMs - (performance.now() - began);
      if (leftMs <= 0) {
        throw new MigrationBlockedError(
          `${error.what}: gave up after ${Math.round(waitMs / 1_000)} s, blocked by ${blockedBy}; ` +
            'nothing of it was applied. End that session, or wait until it has finished, and run `inbox migrate` again',
          { cause: error.cause },
        );
      }
      const retryInMs = Math.round(Math.min(pauseMs, leftMs));
      log.warn(`${error.what}; trying again`, { blockedBy, retryInMs });
      await sleep(retryInMs);
    }
  }
}

/**
 * Runs `work`, which waits for locks in the session with the pid it passes on, and notes meanwhile who blocks that session:
 * once the wait has failed, Postgres no longer knows.
 *
 * @throws LockedOutError when `work` waited for a lock for too long, or until a deadlock; anything else that it throws
 */
export async function watchingBlockers<T>(
  pool: Pool,
  what: string,
  everyMs: number,
  work: (blockedAs: (pid: number) => void) => Promise<T>,
): Promise<T> {
  let pid: number | null = null;
  let holders: BlockingSession[] = [];
  // One look at a time. On a pool with a single connection it waits until `work` has given that back, and finds nothing.
  let looking: Promise<void> | null = null;
  const look = async (blocked: number) => {
    const found = await findBlockingSessions(pool, blocked).catch(() => []);
    if (found.length > 0) holders = found;
    looking = null;
  };
  const timer = setInterval(() => {
    if (pid !== null) looking ??= look(pid);
  }, everyMs);
  try {
    return await work((own) => {
      pid = own;
    });
  } catch (error) {
    clearInterval(timer);
    await looking;
    if (!isLockNotAvailable(error) && !isDeadlock(error)) throw error;
    throw Object.assign(new LockedOutError(`${what} waits for a lock`, holders), { cause: error });
  } finally {
    clearInterval(timer);
    await looking;
  }
}

function describeSessions(sessions: readonly BlockingSession[]): string {
  if (sessions.length === 0) return 'a session that could not be identified';
  return sessions.map((session) => describeSession(session)).join('; ');
}

/** Such as `pid 4711 (user ada, application psql, idle in transaction since 2026-11-25T10:00:00.000Z)`. */
function describeSession({ pid, user, application, state, since }: BlockingSession): string {
  if (pid === null) return 'a prepared transaction (see pg_prepared_xacts)';
  const facts = [
    ...(user === null ? [] : [`user ${user}`]),
    ...(application === null ? [] : [`application ${application}`]),
    [state ?? 'in a transaction', ...(since === null ? [] : [`since ${since.toISOString()}`])].join(' '),
  ];
  return `pid ${pid} (${facts.join(', ')})`;
}
