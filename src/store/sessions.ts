/**
 * Postgres backends: the server side of our connections.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/**
 * Terminates a backend that is still in this transaction, so that the transaction rolls back and releases its locks at
 * once. If we only closed the socket, the backend would not notice before the end of its current statement. Does nothing
 * if the backend no longer exists or runs another transaction: behind a pooler it may be serving another client.
 *
 * @param xid - from `pg_current_xact_id()`; pg_stat_activity has only its lower 32 bits
 */
export async function terminateTransaction(db: Queryable, pid: number, xid: string): Promise<void> {
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where pid = $1 and backend_xid::text::bigint = $2::bigint % 4294967296`,
    [pid, xid],
  );
}

/** Terminates a backend, no matter what it is doing. Does nothing if the backend no longer exists. */
export async function terminateBackend(db: Queryable, pid: number): Promise<void> {
  await db.query('select pg_terminate_backend($1)', [pid]);
}

/** Identifies the database and the running server: two connections that get the same answer see the same tables. */
export async function identifyDatabase(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ name: string; since: number }>(
    `select pg_catalog.current_database() as name,
            pg_catalog.date_part('epoch'::text, pg_catalog.pg_postmaster_start_time()) as since`,
  );
  const { name, since } = rows[0]!;
  return `${name} since ${since}`;
}

/** Resolves if Postgres answers. */
export async function askDatabase(db: Queryable): Promise<void> {
  await db.query('select');
}
