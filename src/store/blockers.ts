/**
 * Finds the sessions that hold a lock another session waits for.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** A session as `pg_stat_activity` shows it. A login without `pg_monitor` cannot see the state of other users' sessions. */
export interface BlockingSession {
  /** Null for a prepared transaction, which has no session. */
  pid: number | null;
  /** The user, or the kind of process, such as `autovacuum worker`. */
  user: string | null;
  application: string | null;
  /** For example `idle in transaction`. */
  state: string | null;
  /** When its transaction began. */
  since: Date | null;
}

/** Returns the sessions that the session with this pid is waiting for; empty if it is not waiting. */
export async function findBlockingSessions(db: Queryable, pid: number): Promise<BlockingSession[]> {
  const { rows } = await db.query<BlockingSession>(
    `select distinct a.pid, coalesce(a.usename, a.backend_type) as "user",
            nullif(a.application_name, '') as application, a.state, a.xact_start as since
     from unnest(pg_blocking_pids($1)) as blocking (pid) left join pg_stat_activity a on a.pid = blocking.pid`,
    [pid],
  );
  return rows;
}
