/**
 * `inbox.outbox_lease`: which relay publishes. A lease in a table works through poolers, where session locks do not, and only
 * logins that may write the table can hold it.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** What holds the lease, or wants to. */
export interface LeaseClaim {
  /** A uuid of this relay. */
  holder: string;
  /** For people: host name and process id. */
  name: string;
  leaseMs: number;
}

/**
 * A CTE that finds a row only while this relay has the lease, and keeps others from taking it until the statement ends. Every
 * statement with which the relay writes begins with it.
 *
 * @param holder - the number of the parameter that is the relay's uuid
 */
export const LEASE = (holder: number) => `lease as materialized (
  select from inbox.outbox_lease where holder = $${holder}::uuid and until > clock_timestamp() for share)`;

/** For the end of such a statement. A crash of Postgres may lose what it wrote: those events are published again. */
export const LEASE_HELD = `
  exists (select from lease) as held, set_config('synchronous_commit', 'off', true) as "synchronousCommit"`;

/** The advisory lock of relays of earlier releases. */
const EARLIER_LOCK = '8071829304690';

/**
 * Whether a relay of an earlier release publishes. It holds a session lock, which any login can take, so only sessions of
 * trusted roles count. Behind a pooler the lock can outlive its relay on a server connection: such a connection is our own,
 * is used under another name, or has been idle for longer than a relay ever is.
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

const untilLater = (ms: number) => `clock_timestamp() + $${ms}::float8 * interval '1 millisecond'`;

/**
 * Takes the lease if no other relay has it. It does not wait: a statement that waits would hold back vacuum.
 *
 * @returns the position up to which no event is left; null when another relay has the lease
 */
export async function takeLease(
  db: Queryable,
  { holder, name, leaseMs }: LeaseClaim,
): Promise<number | null> {
  const { rows } = await db.query<{ position: number }>(
    `insert into inbox.outbox_lease as l (holder, name, until)
     select $1::uuid, $2::text, ${untilLater(3)}
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
 * @param position - the position up to which no event is left
 * @returns false when another relay has it by now, or one of an earlier release publishes
 */
export async function renewLease(
  db: Queryable,
  { holder, leaseMs }: LeaseClaim,
  position: number,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `update inbox.outbox_lease set until = ${untilLater(2)}, position = $3
     where holder = $1::uuid and not ${EARLIER_RELAY}`,
    [holder, leaseMs, position],
  );
  return rowCount === 1;
}

/** Lets another relay take it at once. */
export async function releaseLease(db: Queryable, holder: string, position: number): Promise<void> {
  await db.query(`update inbox.outbox_lease set until = '-infinity', position = $2 where holder = $1::uuid`, [
    holder,
    position,
  ]);
}

/**
 * Transactions that may still commit events: each that inserted one holds this lock on the table until it ends. A position is
 * taken after the lock, so an event that is missing below the newest position belongs to one of them or will never come.
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
