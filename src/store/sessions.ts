/**
 * Postgres backends: the server's side of our connections.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/**
 * Ends a backend that is still in this transaction, so that the transaction rolls back and lets its locks go at once; closing
 * the socket alone would be noticed only after its current statement. A backend that is gone already is no error. One that has
 * moved on is left alone: behind a pooler it may be serving somebody else.
 *
 * @param xid - of `pg_current_xact_id()`; pg_stat_activity has its lower 32 bits
 */
export async function terminateTransaction(db: Queryable, pid: number, xid: string): Promise<void> {
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where pid = $1 and backend_xid::text::bigint = $2::bigint % 4294967296`,
    [pid, xid],
  );
}

/** Ends a backend, whatever it is doing. A backend that is gone already is no error. */
export async function terminateBackend(db: Queryable, pid: number): Promise<void> {
  await db.query('select pg_terminate_backend($1)', [pid]);
}

/** Which database of which running server this is: two connections that get the same answer see the same tables. */
export async function identifyDatabase(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ name: string; since: number }>(
    `select pg_catalog.current_database() as name,
            pg_catalog.date_part('epoch'::text, pg_catalog.pg_postmaster_start_time()) as since`,
  );
  const { name, since } = rows[0]!;
  return `${name} since ${since}`;
}
