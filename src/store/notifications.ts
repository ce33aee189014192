/**
 * Listening for notifications.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import type { Queryable } from '../platform/queryable.ts';

type Connection = Queryable | ClientBase;

/**
 * A COMMIT with a NOTIFY fails when the server's NOTIFY queue is full, so none is added to a queue that is half full. Those who
 * wait for a notification also look for themselves.
 */
export const NOTIFY_QUEUE_HAS_ROOM = 'pg_catalog.pg_notification_queue_usage() < 0.5::float8';

/**
 * LISTEN takes no parameters, so the channel has to be a plain identifier.
 *
 * @throws TypeError when it is not
 */
export async function listenTo(db: Connection, channel: string): Promise<void> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel))
    throw new TypeError(`${JSON.stringify(channel)} is no plain identifier`);
  await db.query(`listen ${channel}`);
}

export async function notify(db: Connection, channel: string, payload: string): Promise<void> {
  await db.query('select pg_catalog.pg_notify($1::text, $2::text)', [channel, payload]);
}

/** An answer, of whatever kind, shows that the connection is alive. */
export async function ping(db: Connection): Promise<void> {
  await db.query('select 1');
}

/** The backend that answers. Behind a pooler in transaction mode the next statement may get another one. */
export async function currentBackend(db: Connection): Promise<number> {
  const { rows } = await db.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid');
  return rows[0]!.pid;
}

const ROUNDS = 20;
const LONGEST_PAUSE_MS = 5;

/**
 * Whether the connection has a backend to itself. Behind a pooler in transaction mode it has one only within a transaction:
 * then another connection that begins one is given the same backend, or takes it away. On a busy pooler a third one may be
 * quicker, so it is tried several times. Leaves nothing behind.
 *
 * @param announced - the backend's process ID when the connection started: where it is the real one, no pooler is in between
 * @param withAnother - runs it with another connection to the same place
 */
export async function keepsItsServer(
  db: Connection,
  announced: number,
  withAnother: <T>(use: (other: Connection) => Promise<T>) => Promise<T>,
): Promise<boolean> {
  const before = await currentBackend(db);
  if (before === announced) return true;
  return withAnother(async (other) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      // Not in step with other clients of this process, which would be given the same backends again and again.
      await sleep(Math.random() * LONGEST_PAUSE_MS);
      const own = await currentBackend(db);
      await other.query('begin');
      const others = await currentBackend(other);
      await sleep(Math.random() * LONGEST_PAUSE_MS);
      const now = await currentBackend(db);
      await other.query('rollback');
      if (own !== before || now !== before || others === before) return false;
    }
    return true;
  });
}
