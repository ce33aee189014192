/**
 * `inbox.turns`: work that only one worker does at a time. A turn is a row that is locked until the end of a transaction.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { BlockingSession } from './blockers.ts';
import { canRead } from './roles.ts';

/**
 * The session that has had the turn for longer than this, or null. It is not found by a login that may not read `inbox.turns`,
 * nor, without `pg_monitor`, if it belongs to another user.
 */
export async function findLongTurn(
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
