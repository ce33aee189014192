/**
 * Locks that a migration waits for: who holds them, and how long to go on trying.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { MigrationBlockedError } from '../core/errors.ts';
import { findBlockingSessions } from './blockers.ts';
import type { BlockingSession } from './blockers.ts';

/** The attempt to migrate ended because another session holds a lock; its transaction was rolled back. */
export class LockedOutError extends Error {
  override readonly name = 'LockedOutError';

  constructor(
    readonly what: string,
    readonly holders: readonly BlockingSession[],
    options: { cause: unknown },
  ) {
    super(what, options);
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
  let holders: readonly BlockingSession[] = [];
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LockedOutError)) throw error;
      if (error.holders.length > 0) holders = error.holders;
      const blockedBy = describeSessions(holders);
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
 * Notes who blocks a session while it waits for locks: once the wait has failed, Postgres no longer knows. On a pool that has
 * no second connection to look with, it finds nothing.
 */
export class BlockerWatch {
  readonly #pool: Pool;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #holders: BlockingSession[] = [];

  constructor(pool: Pool, everyMs: number) {
    this.#pool = pool;
    this.#everyMs = everyMs;
  }

  /** `pid` is that of the session on the server. */
  start(pid: number): void {
    this.#timer = setInterval(() => {
      // One look at a time: it may have to wait for a connection.
      this.#looking ??= this.#look(pid);
    }, this.#everyMs);
  }

  /** After the watched session's connection went back to the pool: a look may wait for that one. */
  async stop(): Promise<readonly BlockingSession[]> {
    clearInterval(this.#timer);
    if (this.#looking) await this.#looking;
    return this.#holders;
  }

  async #look(pid: number): Promise<void> {
    const found = await findBlockingSessions(this.#pool, pid).catch(() => []);
    if (found.length > 0) this.#holders = found;
    this.#looking = undefined;
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
