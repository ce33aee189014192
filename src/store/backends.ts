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

/** Whether this connection has a backend of its own: a pooler in between announces another process than the one that answers. */
export async function isDirectConnection(
  client: Queryable & { processID?: number | null },
): Promise<boolean> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return client.processID === rows[0]!.pid;
}
