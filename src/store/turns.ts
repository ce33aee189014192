/**
 * `inbox.turns`: work that only one worker does at a time. A turn is a row that is locked until the transaction ends.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { BlockingSession } from './blockers.ts';
import { canRead } from './roles.ts';

/**
 * Returns the session that has held the turn for longer than this, or null. Also null if this login may not read
 * `inbox.turns`, or if the session belongs to another user and this login does not have `pg_monitor`.
 */
export async function findLongLockHolder(
  db: Queryable,
  name: 'alerts',
  ageMs: number,
): Promise<BlockingSession | null> {
  if (!(await canRead(db, 'inbox.turns'))) return null;
  const { rows } = await db.query<BlockingSession>(
    `select a.pid, a.usename as "user", nullif(a.application_name, '') as application, a.state, a.xact_start as since
     from inbox.turns t
     join pg_locks l on l.locktype = 'transactionid' and l.transactionid = t.xmax and l.mode = 'ExclusiveLock' and l.granted
     join pg_stat_activity a on a.pid = l.pid
     where t.name = $1 and a.xact_start < clock_timestamp() - $2::float8 * interval '1 millisecond'`,
    [name, ageMs],
  );
  return rows[0] ?? null;
}
