/**
 * The transaction of an attempt that `runCommand` runs for a test: one that is rolled back, or a savepoint in the
 * transaction of the test.
 *
 * @module
 */
import { BEGIN } from '../platform/connection-settings.ts';
import type { Queryable } from '../platform/queryable.ts';

export interface BegunTestAttempt {
  /** The transaction's id, to detect that the handler ended the transaction. */
  xid: string;
  /** The pid of the backend, to terminate it at the time limit. */
  pid: number;
  /** True if the database contains the inbox's schema. */
  hasInbox: boolean;
  /** The limits of the transaction before the attempt, to restore them. */
  lockTimeout: string;
  statementTimeout: string;
}

/** Starts the list of {@link recordSend}, and reads what the attempt must know about its transaction. */
const BEGUN = `
  with before as materialized (
    select pg_catalog.current_setting('lock_timeout') as lock_timeout,
           pg_catalog.current_setting('statement_timeout') as statement_timeout)
  select pg_catalog.pg_current_xact_id()::text as xid, pg_catalog.pg_backend_pid() as pid,
    exists (select from pg_catalog.pg_namespace where nspname = 'inbox') as "hasInbox",
    lock_timeout as "lockTimeout", statement_timeout as "statementTimeout",
    pg_catalog.set_config('lock_timeout', $1::text, true),
    pg_catalog.set_config('statement_timeout', $1::text, true),
    pg_catalog.set_config('temporal_inbox.sent', '', true)
  from before`;

/**
 * Begins a transaction with the limits of an attempt, in ms. There is no limit for an idle transaction: the process that
 * runs the test ends the attempt in time, and a debugger may halt it.
 */
export async function beginTestAttempt(db: Queryable, timeoutMs: number): Promise<BegunTestAttempt> {
  await db.query(BEGIN);
  const { rows } = await db.query<BegunTestAttempt>(BEGUN, [String(timeoutMs)]);
  await db.query(
    `select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings
     where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')`,
  );
  return rows[0]!;
}

/** Rolls back, and releases the session's advisory locks, which a rollback keeps. */
export async function rollBackTestAttempt(db: Queryable): Promise<void> {
  await db.query('rollback; select pg_catalog.pg_advisory_unlock_all()');
}

const SAVEPOINT = 'inbox_run_command';

/** Begins an attempt in the open transaction of a test. */
export async function beginInSavepoint(db: Queryable, timeoutMs: number): Promise<BegunTestAttempt> {
  await db.query(`savepoint ${SAVEPOINT}`);
  const { rows } = await db.query<BegunTestAttempt>(BEGUN, [String(timeoutMs)]);
  return rows[0]!;
}

/** Undoes everything since {@link beginInSavepoint}, including its limits. */
export async function rollBackToSavepoint(db: Queryable): Promise<void> {
  await db.query(`rollback to savepoint ${SAVEPOINT}`);
  await db.query(`release savepoint ${SAVEPOINT}`);
}

/** Makes the changes of the attempt a part of the test's transaction, and restores the limits of that transaction. */
export async function keepSavepoint(
  db: Queryable,
  { lockTimeout, statementTimeout }: BegunTestAttempt,
): Promise<void> {
  await db.query(
    `select pg_catalog.set_config('lock_timeout', $1::text, true),
            pg_catalog.set_config('statement_timeout', $2::text, true),
            pg_catalog.set_config('temporal_inbox.sent', '', true)`,
    [lockTimeout, statementTimeout],
  );
  await db.query(`release savepoint ${SAVEPOINT}`);
}

/** Returns whether the connection is still in the transaction with this id. */
export async function isInTransaction(db: Queryable, xid: string): Promise<boolean> {
  const { rows } = await db.query<{ same: boolean }>(
    'select pg_catalog.pg_current_xact_id_if_assigned()::text is not distinct from $1::text as same',
    [xid],
  );
  return rows[0]!.same;
}

/**
 * Checks all deferred constraints, as COMMIT would. Afterwards they are deferred again.
 *
 * @throws DatabaseError naming the violated constraint
 */
export async function checkConstraints(db: Queryable): Promise<void> {
  await db.query('savepoint inbox_constraints');
  await db.query('set constraints all immediate');
  await db.query('rollback to savepoint inbox_constraints');
  await db.query('release savepoint inbox_constraints');
}

/**
 * Records that the attempt has sent a message. The list is a setting of the transaction: if the handler rolls back a
 * savepoint, Postgres also forgets what was sent since then.
 *
 * @param place - the position of the message among those that the attempt has sent
 * @returns the positions of the messages that were sent before and not rolled back
 */
export async function recordSend(db: Queryable, place: number): Promise<number[]> {
  const { rows } = await db.query<{ sent: string }>(
    `select pg_catalog.set_config('temporal_inbox.sent',
       pg_catalog.concat(pg_catalog.current_setting('temporal_inbox.sent'), ' ', $1::text), true) as sent`,
    [String(place)],
  );
  return parsePlaces(rows[0]!.sent).slice(0, -1);
}

/** Returns the positions of the messages that were sent and not rolled back, in the order of {@link recordSend}. */
export async function readSends(db: Queryable): Promise<number[]> {
  const { rows } = await db.query<{ sent: string }>(
    `select pg_catalog.current_setting('temporal_inbox.sent') as sent`,
  );
  return parsePlaces(rows[0]!.sent);
}

function parsePlaces(list: string): number[] {
  return list.split(' ').filter(Boolean).map(Number);
}
