/**
 * LISTEN and NOTIFY.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import type { Queryable } from '../platform/queryable.ts';

type Connection = Queryable | ClientBase;

/**
 * A COMMIT with a NOTIFY fails if the server's NOTIFY queue is full, so no notification is added to a queue that is half
 * full. Processes that wait for a notification also poll.
 */
export const NOTIFY_QUEUE_HAS_ROOM = 'pg_catalog.pg_notification_queue_usage() < 0.5::float8';

/**
 * LISTEN takes no parameters, so the channel must be a plain identifier.
 *
 * @throws TypeError when it is not
 */
export async function listenTo(db: Connection, channel: string): Promise<void> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel))
    throw new TypeError(`${JSON.stringify(channel)} is not a plain identifier`);
  await db.query(`listen ${channel}`);
}

export async function notify(db: Connection, channel: string, payload: string): Promise<void> {
  await db.query('select pg_catalog.pg_notify($1::text, $2::text)', [channel, payload]);
}

/** Any answer shows that the connection is alive. */
export async function ping(db: Connection): Promise<void> {
  await db.query('select 1');
}

/**
 * Returns the pid of the backend that answers. Behind a pooler in transaction mode, the next statement may run on another
 * backend.
 */
export async function currentBackend(db: Connection): Promise<number> {
  const { rows } = await db.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid');
  return rows[0]!.pid;
}

const ROUNDS = 20;
const MAX_PAUSE_MS = 5;

/**
 * Returns whether the connection has a backend to itself. Behind a pooler in transaction mode it has one only during a
 * transaction. When another connection then begins a transaction, it gets the same backend, or this connection gets a
 * different one. On a busy pooler, other connections can interfere, so the test is repeated. It leaves nothing behind.
 *
 * @param announced - the pid that the backend reported when the connection started; if it is the actual pid, there is no
 *   pooler
 * @param withAnother - runs a function with another connection to the same address
 */
export async function keepsServerConnection(
  db: Connection,
  announced: number,
  withAnother: <T>(use: (other: Connection) => Promise<T>) => Promise<T>,
): Promise<boolean> {
  const before = await currentBackend(db);
  if (before === announced) return true;
  return withAnother(async (other) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      // Random pauses, so that this test is not in step with other clients of this process: they would get the same
      // backends every time.
      await sleep(Math.random() * MAX_PAUSE_MS);
      const own = await currentBackend(db);
      await other.query('begin');
      const others = await currentBackend(other);
      await sleep(Math.random() * MAX_PAUSE_MS);
      const now = await currentBackend(db);
      await other.query('rollback');
      if (own !== before || now !== before || others === before) return false;
    }
    return true;
  });
}
