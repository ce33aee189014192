/**
 * Which sessions hold a lock that another one waits for.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** A session as `pg_stat_activity` shows it. Other users' sessions hide their state from a login without `pg_monitor`. */
export interface BlockingSession {
  /** Null for a prepared transaction, which has no session. */
  pid: number | null;
  /** The user, or what kind of process it is, such as `autovacuum worker`. */
  user: string | null;
  application: string | null;
  /** Such as `idle in transaction`. */
  state: string | null;
  /** When its transaction began. */
  since: Date | null;
}

/** The sessions that the session with this pid waits for now; none when it doesn't wait. */
export async function findBlockingSessions(db: Queryable, pid: number): Promise<BlockingSession[]> {
  const { rows } = await db.query<BlockingSession>(
    `select distinct a.pid, coalesce(a.usename, a.backend_type) as "user",
            nullif(a.application_name, '') as application, a.state, a.xact_start as since
     from unnest(pg_blocking_pids($1)) as blocking (pid) left join pg_stat_activity a on a.pid = blocking.pid`,
    [pid],
  );
  return rows;
}
