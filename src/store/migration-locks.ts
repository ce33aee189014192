/**
 * Retries a migration that waits for locks, and finds the sessions that hold them.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { MigrationBlockedError } from '../core/errors.ts';
import { findBlockingSessions } from './blockers.ts';
import type { BlockingSession } from './blockers.ts';
import { doublingDelayMs } from '../core/retry-policy.ts';

/** An attempt to migrate failed because another session holds a lock. Its transaction was rolled back. */
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

export interface RetryOptions {
  /** How long to retry, in ms. */
  waitMs: number;
  log: CommandLog;
}

/**
 * Retries while another session holds a lock. Between two attempts the migration holds no lock and waits for none, so
 * everything that waited behind it continues.
 *
 * @throws MigrationBlockedError when `waitMs` has passed; otherwise what `attempt` throws
 */
export async function retryWhileLocked<T>(
  attempt: () => Promise<T>,
  { waitMs, log }: RetryOptions,
): Promise<T> {
  const startedAt = performance.now();
  let holders: readonly BlockingSession[] = [];
  for (let failures = 1; ; failures += 1) {
    const pauseMs = doublingDelayMs(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, failures);
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LockedOutError)) throw error;
      if (error.holders.length > 0) holders = error.holders;
      const blockedBy = describeSessions(holders);
      const leftMs = waitMs - (performance.now() - startedAt);
      if (leftMs <= 0) {
        throw new MigrationBlockedError(
          `${error.what}: timed out after ${Math.round(waitMs / 1_000)} s, blocked by ${blockedBy}; ` +
            'the migration was not applied. End that session, or wait until it has finished, and run `inbox migrate` again',
          { cause: error.cause },
        );
      }
      const retryInMs = Math.round(Math.min(pauseMs, leftMs));
      log.warn(`${error.what}; retrying`, { blockedBy, retryInMs });
      await sleep(retryInMs);
    }
  }
}

/**
 * Records which sessions block another session while that session waits for locks: after the wait has failed, Postgres no
 * longer knows. It finds nothing on a pool that has no second connection to query with.
 */
export class BlockerWatch {
  readonly #pool: Pool;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #query: Promise<void> | undefined;
  #holders: BlockingSession[] = [];

  constructor(pool: Pool, everyMs: number) {
    this.#pool = pool;
    this.#everyMs = everyMs;
  }

  /** `pid` is the backend of the session to watch. */
  start(pid: number): void {
    this.#timer = setInterval(() => {
      // Run one query at a time: it may have to wait for a connection.
      this.#query ??= this.#findHolders(pid);
    }, this.#everyMs);
  }

  /** Call this after the watched session's connection is back in the pool: a query may be waiting for that connection. */
  async stop(): Promise<readonly BlockingSession[]> {
    clearInterval(this.#timer);
    if (this.#query) await this.#query;
    return this.#holders;
  }

  async #findHolders(pid: number): Promise<void> {
    const found = await findBlockingSessions(this.#pool, pid).catch(() => []);
    if (found.length > 0) this.#holders = found;
    this.#query = undefined;
  }
}

function describeSessions(sessions: readonly BlockingSession[]): string {
  if (sessions.length === 0) return 'a session that could not be identified';
  return sessions.map((session) => describeSession(session)).join('; ');
}

/** For example `pid 4711 (user ada, application psql, idle in transaction since 2026-11-25T10:00:00.000Z)`. */
function describeSession({ pid, user, application, state, since }: BlockingSession): string {
  if (pid === null) return 'a prepared transaction (see pg_prepared_xacts)';
  const facts = [
    ...(user === null ? [] : [`user ${user}`]),
    ...(application === null ? [] : [`application ${application}`]),
    [state ?? 'in a transaction', ...(since === null ? [] : [`since ${since.toISOString()}`])].join(' '),
  ];
  return `pid ${pid} (${facts.join(', ')})`;
}
