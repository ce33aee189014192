/**
 * `inbox.outbox_lease`: which relay publishes.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/** A relay that says nothing for this long has lost its turn. It renews its lease several times within it. */
export const LEASE_MS = 20_000;

/** The advisory lock that relays of earlier releases hold while they publish. */
const EARLIER_LOCK = 8071829304690;

/** A lock counts only where it is held by a role that may publish: every login can take an advisory lock. */
const EARLIER_RELAY_PUBLISHES = `
  exists (
    select from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and l.classid::bigint << 32 | l.objid::bigint = ${EARLIER_LOCK}
      and exists (select from pg_roles r
        where (r.rolname = 'inbox_worker' or r.oid = (select nspowner from pg_namespace where nspname = 'inbox'))
          and pg_has_role(a.usesysid, r.oid, 'member')))`;

/** Where the holder is connected directly, its backend ends with it, so that nobody has to wait for the end of the lease. */
const IS_FREE = `
  (until < now() or holder is null or (backend is not null and not exists (
    select from pg_stat_activity a where a.pid = backend and a.backend_start = outbox_lease.backend_start)))`;

/**
 * Takes the lease where it is free. False when another relay has it.
 *
 * @param direct - this connection has a backend of its own, which ends with it
 */
export async function takeOutboxLease(db: Queryable, holder: string, direct: boolean): Promise<boolean> {
  const { rowCount } = await db.query(
    `update inbox.outbox_lease
     set holder = $1, until = now() + ${LEASE_MS}::float8 * interval '1 millisecond',
         backend = case when $2 then pg_backend_pid() end,
         backend_start = case when $2 then (select a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()) end
     where (${IS_FREE} or holder = $1) and not ${EARLIER_RELAY_PUBLISHES}`,
    [holder, direct],
  );
  return rowCount === 1;
}

/** False when another relay has taken it. */
export async function renewOutboxLease(db: Queryable, holder: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `update inbox.outbox_lease set until = now() + ${LEASE_MS}::float8 * interval '1 millisecond' where holder = $1`,
    [holder],
  );
  return rowCount === 1;
}

/** The next relay need not wait. */
export async function releaseOutboxLease(db: Queryable, holder: string): Promise<void> {
  await db.query(
    `update inbox.outbox_lease set holder = null, until = '-infinity', backend = null, backend_start = null where holder = $1`,
    [holder],
  );
}

/** SQL: whether a relay publishes, of this release or an earlier one. */
export const RELAY_PUBLISHES = `
  (exists (select from inbox.outbox_lease where not ${IS_FREE}) or ${EARLIER_RELAY_PUBLISHES})`;
