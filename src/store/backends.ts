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
