/**
 * `inbox.outbox_parked`: aggregates of which the broker rejected an event. Only the relay that has the lease adds and removes
 * rows; operators only change when the next try is.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { LEASE, LEASE_HELD } from './outbox-lease.ts';
import { UNPUBLISHED } from './outbox.ts';

export interface ParkedAggregate {
  id: string;
  /** As `aggregateKey` makes it, base64. */
  key: string;
  /** The event that was rejected last, and how often. */
  eventId: string;
  attempts: number;
}

const PARKED = `id::text, encode(aggregate_key, 'base64') as key, event_id as "eventId", attempts`;

/** All of them, for a relay that begins. */
export async function listParked(db: Queryable): Promise<Pick<ParkedAggregate, 'id' | 'key'>[]> {
  const { rows } = await db.query<Pick<ParkedAggregate, 'id' | 'key'>>(
    `select id::text, encode(aggregate_key, 'base64') as key from inbox.outbox_parked`,
  );
  return rows;
}

/** Leaves out lanes that an operator's open transaction has locked, by releasing or skipping their event. */
const unlessHeld = (condition: string) => `
  select id from inbox.outbox_parked where ${condition} for no key update skip locked`;

/** Those whose next try is due, without the ones that are being tried and those that somebody holds. */
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
  /** Without what the event carries. */
  error: string;
  attempts: number;
  delayMs: number;
}

/**
 * Parks an aggregate: these events of it, the rejected one first, wait in a lane of their own.
 *
 * @returns the lane's id; null, and nothing is changed, when the lease is lost
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

/** Notes that another try failed, unless somebody has locked the lane: then it is tried again. False when the lease is lost. */
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
       where id in (${unlessHeld('id = $2::bigint')}) and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, id, eventId, error, attempts, delayMs],
  );
  return rows[0]!.held;
}

/** Lets later events of parked aggregates wait behind the first; `parkedIds` says for each event where. */
export async function holdBehind(
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

/** A lane with more events than this goes on as a lane. */
const MOST_MERGED = 200;

export interface Merged {
  held: boolean;
  /** The aggregate is no longer parked. */
  merged: boolean;
  /** Of the events that are published in their turn again. */
  positions: number[];
}

/**
 * Ends a lane that was published but for a few events: those go back to the others. The position from which the next relay
 * would start is lowered in the same statement, so that it cannot overlook them. Not while the lease is being renewed, which
 * sets that position, too.
 */
export async function mergeLane(db: Queryable, holder: string, id: string): Promise<Merged> {
  const { rows } = await db.query<Merged>(
    `with ${LEASE(1)},
     rest as materialized (
       select id, position from inbox.outbox where published_at is null and parked = $2::bigint order by position
       limit ${MOST_MERGED + 1}),
     free as materialized (${unlessHeld('id = $2::bigint')}),
     few as materialized (
       select from lease where (select count(*) from rest) <= ${MOST_MERGED} and exists (select from free)),
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

/** Events whose lane is gone, because a row was deleted by hand or a dump restored in part, are published in their turn. */
export async function adoptOrphans(
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

/** Makes what failed while the broker was away due at once. */
export async function reviveParked(db: Queryable, holder: string, failedWithinMs: number): Promise<boolean> {
  const { rows } = await db.query<{ held: boolean }>(
    `with ${LEASE(1)},
     revived as (
       update inbox.outbox_parked set next_try_at = now()
       where id in (${unlessHeld(`failed_at >= now() - $2::float8 * interval '1 millisecond' and next_try_at > now()`)})
         and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, failedWithinMs],
  );
  return rows[0]!.held;
}
