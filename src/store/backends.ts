/**
 * Postgres backends: the server's side of our connections.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/**
 * Ends a backend, so that its transaction rolls back and lets its locks go at once; closing the socket alone would be
 * noticed only after its current statement. A backend that is gone already is no error.
 */
export async function terminateBackend(db: Queryable, pid: number): Promise<void> {
  await db.query('select pg_terminate_backend($1)', [pid]);
}

/** Which database of which running server this is: two connections that get the same answer see the same tables. */
export async function identifyDatabase(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ identity: string }>(
    `select current_database() || ' since ' || extract(epoch from pg_postmaster_start_time()) as identity`,
  );
  return rows[0]!.identity;
}
