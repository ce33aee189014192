/**
 * `inbox.outbox_parked`: aggregates with an event that the broker rejected. The waiting events of a parked aggregate
 * are parked with it: they leave the main order and are published separately. Only the relay that holds the lease adds and
 * removes rows; operators only change the time of the next retry.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { LEASE, LEASE_HELD } from './outbox-lease.ts';
import { UNPUBLISHED } from './outbox.ts';

export interface ParkedAggregate {
  id: string;
  /** The key that `aggregateKey` returns, in base64. */
  key: string;
  /** The event that was rejected last, and how often it was rejected. */
  eventId: string;
  attempts: number;
}

const PARKED = `id::text, encode(aggregate_key, 'base64') as key, event_id as "eventId", attempts`;

/** Lists all parked aggregates, for a relay that is starting. */
export async function listParked(db: Queryable): Promise<Pick<ParkedAggregate, 'id' | 'key'>[]> {
  const { rows } = await db.query<Pick<ParkedAggregate, 'id' | 'key'>>(
    `select id::text, encode(aggregate_key, 'base64') as key from inbox.outbox_parked`,
  );
  return rows;
}

/** Skips rows that an operator's open transaction has locked, by releasing or skipping their event. */
const unlessLocked = (condition: string) => `
  select id from inbox.outbox_parked where ${condition} for no key update skip locked`;

/**
 * Finds parked aggregates whose next retry is due. Leaves out those that are already being retried (`except`) and those that
 * another transaction has locked.
 */
export async function findDueParked(
  db: Queryable,
  limit: number,
  except: readonly string[],
): Promise<ParkedAggregate[]> {
  const { rows } = await db.query<ParkedAggregate>(
    `select ${PARKED} from inbox.outbox_parked
     where next_try_at <= clock_timestamp() and id <> all ($2::bigint[]) order by next_try_at limit $1
     for no key update skip locked`,
    [limit, except],
  );
  return rows;
}

export interface Rejection {
  key: string;
  eventId: string;
  /** Without the contents of the event. */
  error: string;
  attempts: number;
  delayMs: number;
}

/**
 * Parks an aggregate and these of its events, the first of which was rejected.
 *
 * @returns the id of its row; null, with nothing changed, if the lease is lost
 */
export async function parkAggregate(
  db: Queryable,
  holder: string,
  { key, eventId, error, attempts, delayMs }: Rejection,
  eventIds: readonly string[],
): Promise<string | null> {
  const { rows } = await db.query<{ held: boolean; id: string | null }>(
    `with ${LEASE(1)},
     lane as (
       insert into inbox.outbox_parked as p (aggregate_key, event_id, error, attempts, failed_at, next_try_at)
       select decode($2, 'base64'), $3::uuid, $4, $5::integer, now(), now() + $6::float8 * interval '1 millisecond' from lease
       on conflict (aggregate_key) do update set event_id = excluded.event_id, error = excluded.error,
         attempts = excluded.attempts, failed_at = excluded.failed_at, next_try_at = excluded.next_try_at
       returning id),
     moved as (
       update inbox.outbox o set parked = (select id from lane)
       where id = any ($7::uuid[]) and ${UNPUBLISHED} and exists (select from lane))
     select (select id::text from lane) as id, ${LEASE_HELD}`,
    [holder, key, eventId, error, attempts, delayMs, eventIds],
  );
  return rows[0]!.held ? rows[0]!.id : null;
}

/**
 * Records that another retry failed. If someone has locked the row, it is not changed, and the aggregate is retried again.
 * Returns false if the lease is lost.
 */
export async function noteParkedFailure(
  db: Queryable,
  holder: string,
  id: string,
  { eventId, error, attempts, delayMs }: Omit<Rejection, 'key'>,
): Promise<boolean> {
  const { rows } = await db.query<{ held: boolean }>(
    `with ${LEASE(1)},
     noted as (
       update inbox.outbox_parked set event_id = $3::uuid, error = $4, attempts = $5::integer, failed_at = now(),
         next_try_at = now() + $6::float8 * interval '1 millisecond'
       where id in (${unlessLocked('id = $2::bigint')}) and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, id, eventId, error, attempts, delayMs],
  );
  return rows[0]!.held;
}

/**
 * Parks later events of parked aggregates, so that they wait behind the rejected one; `parkedIds` contains the id of each
 * event's parked aggregate. Returns false if the lease is lost.
 */
export async function moveToLanes(
  db: Queryable,
  holder: string,
  eventIds: readonly string[],
  parkedIds: readonly string[],
): Promise<boolean> {
  const { rows } = await db.query<{ held: boolean }>(
    `with ${LEASE(1)},
     moved as (
       update inbox.outbox o set parked = ($3::bigint[])[array_position($2::uuid[], o.id)]
       where id = any ($2::uuid[]) and ${UNPUBLISHED} and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, eventIds, parkedIds],
  );
  return rows[0]!.held;
}

/** A parked aggregate with more events than this is not merged. */
const MAX_MERGED = 200;

export interface Merged {
  held: boolean;
  /** True if the aggregate is no longer parked. */
  merged: boolean;
  /** The positions of the events that returned to the main order. */
  positions: number[];
}

/**
 * Unparks an aggregate whose events are published except for a few, which return to the main order. The same statement
 * lowers the position from which the next relay would start, so that it cannot miss them. Don't call this while the lease is
 * being renewed, because the renewal sets that position too.
 */
export async function unparkAggregate(db: Queryable, holder: string, id: string): Promise<Merged> {
  const { rows } = await db.query<Merged>(
    `with ${LEASE(1)},
     rest as materialized (
       select id, position from inbox.outbox where published_at is null and parked = $2::bigint order by position
       limit ${MAX_MERGED + 1}),
     free as materialized (${unlessLocked('id = $2::bigint')}),
     few as materialized (
       select from lease where (select count(*) from rest) <= ${MAX_MERGED} and exists (select from free)),
     moved as (
       update inbox.outbox o set parked = 0
       where id = any (array(select id from rest)) and ${UNPUBLISHED} and exists (select from few)
       returning position),
     lowered as (
       update inbox.outbox_lease set position = least(position, (select min(position) - 1 from rest))
       where holder = $1::uuid and exists (select from few) and exists (select from rest)),
     removed as materialized (select inbox.remove_parked($2::bigint, $1::uuid) as done from few)
     select coalesce((select done from removed), false) as merged, array(select position::float8 from moved) as positions, ${LEASE_HELD}`,
    [holder, id],
  );
  return rows[0]!;
}

/**
 * Unparks events whose aggregate is not parked: they return to the main order. Such events exist if a row was deleted by
 * hand or a dump was restored in part.
 */
export async function unparkOrphans(
  db: Queryable,
  holder: string,
): Promise<{ held: boolean; positions: number[] }> {
  const { rows } = await db.query<{ held: boolean; positions: number[] }>(
    `with ${LEASE(1)},
     adopted as (
       update inbox.outbox o set parked = 0
       where published_at is null and parked > 0 and exists (select from lease)
         and not exists (select from inbox.outbox_parked p where p.id = o.parked)
       returning position),
     lowered as (
       update inbox.outbox_lease set position = least(position, (select min(position) - 1 from adopted))
       where holder = $1::uuid and exists (select from adopted))
     select array(select position::float8 from adopted) as positions, ${LEASE_HELD}`,
    [holder],
  );
  return rows[0]!;
}

/**
 * Makes parked aggregates due immediately if their last retry failed within this time, while the broker was unavailable.
 * Returns false if the lease is lost.
 */
export async function makeParkedDue(db: Queryable, holder: string, failedWithinMs: number): Promise<boolean> {
  const { rows } = await db.query<{ held: boolean }>(
    `with ${LEASE(1)},
     revived as (
       update inbox.outbox_parked set next_try_at = now()
       where id in (${unlessLocked(`failed_at >= now() - $2::float8 * interval '1 millisecond' and next_try_at > now()`)})
         and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, failedWithinMs],
  );
  return rows[0]!.held;
}
