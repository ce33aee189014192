/**
 * `inbox.outbox_lease`: which relay publishes. A lease in a table works behind poolers, where session locks do not, and
 * only logins that may write to the table can hold it.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** A relay that holds the lease, or asks for it. */
export interface LeaseClaim {
  /** A uuid of this relay. */
  holder: string;
  /** For people: host name and process id. */
  name: string;
  leaseMs: number;
}

/**
 * A CTE that returns a row only while this relay holds the lease, and prevents other relays from taking it until the
 * statement ends. Every statement in which the relay writes begins with it.
 *
 * @param holder - the number of the parameter that is the relay's uuid
 */
export const LEASE = (holder: number) => `lease as materialized (
  select from inbox.outbox_lease where holder = $${holder}::uuid and until > clock_timestamp() for share)`;

/**
 * Ends such a statement. If Postgres crashes, it may lose what the statement wrote; those events are then published
 * again.
 */
export const LEASE_HELD = `
  exists (select from lease) as held, set_config('synchronous_commit', 'off', true) as "synchronousCommit"`;

/** The advisory lock of relays of earlier releases. */
const EARLIER_LOCK = '8071829304690';

/**
 * True if a relay of an earlier release is publishing. Such a relay holds a session lock, which any login can take, so
 * only sessions of trusted roles count. Behind a pooler, the lock can outlive its relay on a server connection. Such a
 * connection does not count: it is our own, has another application name, or has been idle for longer than a relay ever
 * is.
 */
export const EARLIER_RELAY = `
  exists (
    select from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and l.classid::bigint << 32 | l.objid::bigint = ${EARLIER_LOCK}
      and l.pid <> pg_backend_pid() and a.application_name = 'inbox outbox relay'
      and coalesce(a.state_change > clock_timestamp() - interval '2 minutes', true)
      and (pg_has_role(a.usesysid, (select relowner from pg_class where oid = 'inbox.outbox_lease'::regclass), 'member')
        or coalesce(pg_has_role(a.usesysid, to_regrole('inbox_worker')::oid, 'member'), false)))`;

const leaseEnd = (ms: number) => `clock_timestamp() + $${ms}::float8 * interval '1 millisecond'`;

/**
 * Takes the lease if no other relay holds it. It does not wait, because a waiting statement would hold back vacuum.
 *
 * @returns the position up to which no event is left to publish; null if another relay holds the lease
 */
export async function takeLease(
  db: Queryable,
  { holder, name, leaseMs }: LeaseClaim,
): Promise<number | null> {
  const { rows } = await db.query<{ position: number }>(
    `insert into inbox.outbox_lease as l (holder, name, until)
     select $1::uuid, $2::text, ${leaseEnd(3)}
     where not exists (select from inbox.outbox_lease where holder <> $1::uuid and until > clock_timestamp())
       and not ${EARLIER_RELAY}
     on conflict (one) do update set holder = excluded.holder, name = excluded.name, until = excluded.until
     where l.holder = excluded.holder or l.until <= clock_timestamp()
     returning position::float8 as position`,
    [holder, name, leaseMs],
  );
  return rows[0]?.position ?? null;
}

/**
 * Renews the lease.
 *
 * @param position - the position up to which no event is left to publish
 * @returns false if another relay has taken the lease, or a relay of an earlier release is publishing
 */
export async function renewLease(
  db: Queryable,
  { holder, leaseMs }: LeaseClaim,
  position: number,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `update inbox.outbox_lease set until = ${leaseEnd(2)}, position = $3
     where holder = $1::uuid and not ${EARLIER_RELAY}`,
    [holder, leaseMs, position],
  );
  return rowCount === 1;
}

/** Lets another relay take the lease immediately. */
export async function releaseLease(db: Queryable, holder: string, position: number): Promise<void> {
  await db.query(`update inbox.outbox_lease set until = '-infinity', position = $2 where holder = $1::uuid`, [
    holder,
    position,
  ]);
}

/**
 * Returns the transactions that may still commit events: each transaction that inserted one holds this lock on the table
 * until it ends. A position is assigned after the lock is taken, so an event that is missing below the newest position
 * belongs to one of these transactions or will never appear.
 */
export async function findOutboxWriters(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ writer: string }>(
    `select distinct virtualtransaction as writer from pg_locks
     where locktype = 'relation' and relation = 'inbox.outbox'::regclass and granted
       and database = (select oid from pg_database where datname = current_database())
       and mode = 'RowExclusiveLock' and pid is distinct from pg_backend_pid()`,
  );
  return rows.map(({ writer }) => writer);
}
