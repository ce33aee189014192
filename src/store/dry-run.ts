/**
 * The transaction of a dry run: a real transaction that cannot be committed.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/**
 * A setting of the connection. If a handler ends the transaction, its next writes run outside of any transaction; they
 * then fail instead of being committed.
 */
export const READ_ONLY_OUTSIDE = { default_transaction_read_only: 'on' };

/** How long to wait for a lock. Short, because live commands take precedence. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Begins the transaction with the limits of an attempt, and makes COMMIT impossible.
 *
 * @returns the pid of the backend, to terminate it at the time limit
 */
export async function beginDryRun(db: Queryable, messageId: string, timeoutMs: number): Promise<number> {
  await db.query('begin read write');
  const { rows } = await db.query<{ pid: number }>(
    `with limits as materialized (
       select set_config('statement_timeout', $2, true), set_config('lock_timeout', $3, true),
              set_config('idle_in_transaction_session_timeout', $2, true))
     insert into inbox.dry_run (message_id) select $1 from limits returning pg_backend_pid() as pid`,
    [messageId, String(timeoutMs), String(LOCK_TIMEOUT_MS)],
  );
  return rows[0]!.pid;
}

/**
 * Checks all deferred constraints, as COMMIT would.
 *
 * @throws DatabaseError naming the violated constraint
 */
export async function checkDeferredConstraints(db: Queryable): Promise<void> {
  await db.query(`select set_config('inbox.dry_run_is_checked', 'yes', true)`);
  await db.query('set constraints all immediate');
}

/** Returns whether the connection is still in the transaction that {@link beginDryRun} began. */
export async function isInDryRun(db: Queryable, messageId: string): Promise<boolean> {
  const { rowCount } = await db.query('select from inbox.dry_run where message_id = $1', [messageId]);
  return rowCount === 1;
}

/** Rolls back, and releases the session's advisory locks, which a rollback keeps. */
export async function endDryRun(db: Queryable): Promise<void> {
  await db.query('rollback');
  await db.query('select pg_advisory_unlock_all()');
}

/** Returns the message_id of a dry run that was committed, which should be impossible; otherwise null. */
export async function findCommittedDryRun(db: Queryable): Promise<string | null> {
  const { rows } = await db.query<{ messageId: string }>(
    'select message_id as "messageId" from inbox.dry_run limit 1',
  );
  return rows[0]?.messageId ?? null;
}
