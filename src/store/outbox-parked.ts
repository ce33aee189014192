/**
 * `inbox.outbox_parked`: aggregates whose next event is rejected by the publisher, and what operators do about them.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/** An aggregate that waits. */
export interface ParkedAggregate {
  aggregateType: string;
  aggregateId: string;
  /** The event that was rejected. */
  eventId: string;
  tries: number;
}

/** Parks an aggregate, or notes another failed try of a parked one. The next try is after `delayMs`. */
export async function parkAggregate(
  db: Queryable,
  holder: string,
  { aggregateType, aggregateId, eventId, tries }: ParkedAggregate,
  { error, delayMs }: { error: string; delayMs: number },
): Promise<void> {
  await db.query(
    `insert into inbox.outbox_parked as p (aggregatetype, aggregateid, event_id, tries, last_error, next_try_at)
     select $1, $2, $3, $4, $5, now() + $6::float8 * interval '1 millisecond'
     from inbox.outbox_lease where holder = $7
     on conflict (aggregatetype, aggregateid) do update
     set event_id = excluded.event_id, tries = excluded.tries, last_error = excluded.last_error,
         next_try_at = excluded.next_try_at`,
    [aggregateType, aggregateId, eventId, tries, error, delayMs, holder],
  );
}

/** Aggregates whose next try is due, the one that has waited longest first. */
export async function findDueAggregates(db: Queryable, limit: number): Promise<ParkedAggregate[]> {
  const { rows } = await db.query<ParkedAggregate>(
    `select aggregatetype as "aggregateType", aggregateid as "aggregateId", event_id as "eventId", tries
     from inbox.outbox_parked where next_try_at <= now() order by next_try_at limit $1`,
    [limit],
  );
  return rows;
}

/** Nothing waits there any more: new events of the aggregate are published like all others. */
export async function unparkAggregate(
  db: Queryable,
  holder: string,
  { aggregateType, aggregateId }: ParkedAggregate,
): Promise<void> {
  await db.query(
    `delete from inbox.outbox_parked
     where aggregatetype = $1 and aggregateid = $2 and exists (select from inbox.outbox_lease where holder = $3)
       and not exists (select from inbox.outbox o
         where o.parked and o.published_at is null and o.aggregatetype = $1 and o.aggregateid = $2)`,
    [aggregateType, aggregateId, holder],
  );
}

/** Events that wait without a parked aggregate would wait forever; a relay that died between two statements can leave some. */
export async function restoreParked(db: Queryable, holder: string): Promise<void> {
  await db.query(
    `insert into inbox.outbox_parked (aggregatetype, aggregateid, event_id, tries, last_error, next_try_at)
     select distinct on (o.aggregatetype, o.aggregateid) o.aggregatetype, o.aggregateid, o.id, 1, 'unknown', now()
     from inbox.outbox o, inbox.outbox_lease l
     where o.parked and o.published_at is null and l.holder = $1
     order by o.aggregatetype, o.aggregateid, o.position
     on conflict do nothing`,
    [holder],
  );
}

/** A parked aggregate, for people. */
export interface ParkedReport {
  eventId: string;
  aggregateType: string;
  aggregateId: string;
  /** Of the event. */
  type: string;
  messageId: string;
  tries: number;
  /** What the publisher said; never what is in the event. */
  lastError: string;
  parkedAt: Date;
  nextTryAt: Date;
  /** Events that wait, this one included; at most {@link MOST_WAITING_COUNTED}. */
  waiting: number;
}

/** More are not counted. */
export const MOST_WAITING_COUNTED = 10_000;

/** The ones that were parked first come first. */
export async function listParked(db: Queryable, limit: number): Promise<ParkedReport[]> {
  const { rows } = await db.query<ParkedReport>(
    `select p.event_id as "eventId", p.aggregatetype as "aggregateType", p.aggregateid as "aggregateId", o.type,
            o.message_id as "messageId", p.tries, p.last_error as "lastError", p.parked_at as "parkedAt",
            p.next_try_at as "nextTryAt",
            (select count(*)::integer from (
               select from inbox.outbox w
               where w.parked and w.published_at is null
                 and w.aggregatetype = p.aggregatetype and w.aggregateid = p.aggregateid
               limit ${MOST_WAITING_COUNTED}) as waiting) as waiting
     from inbox.outbox_parked p join inbox.outbox o on o.id = p.event_id
     order by p.parked_at, p.event_id limit $1`,
    [limit],
  );
  return rows;
}

/** How many aggregates are parked, and since when the first one is. */
export async function countParked(
  db: Queryable,
): Promise<{ count: number; oldestMs: number | null; example: string | null }> {
  const { rows } = await db.query<{ count: number; oldestMs: number | null; example: string | null }>(
    `select count(*)::float8 as count, (extract(epoch from now() - min(parked_at)) * 1000)::float8 as "oldestMs",
            (array_agg(event_id order by parked_at))[1] as example
     from inbox.outbox_parked`,
  );
  return rows[0]!;
}

/** Who acts, and why; kept in the audit. */
export interface OutboxNote {
  actor: string;
  reason: string | null;
}

/** The audit line of an event, which is about the message that emitted it. */
const AUDIT = (action: string, source: string) => `
  insert into inbox.audit (action, message_id, actor, reason, details)
  select '${action}', m.message_id, $2, $3,
         jsonb_build_object('eventId', m.id, 'aggregateType', m.aggregatetype, 'aggregateId', m.aggregateid, 'type', m.type)
  from ${source} as m join inbox.entries e on e.message_id = m.message_id`;

/** Has parked aggregates tried again at once: the one of this event, or all. The ids of their rejected events. */
export async function releaseParked(
  db: Queryable,
  eventId: string | null,
  { actor, reason }: OutboxNote,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `with released as (
       update inbox.outbox_parked set next_try_at = now() where $1::uuid is null or event_id = $1
       returning event_id),
     events as (select o.* from released join inbox.outbox o on o.id = released.event_id),
     audited as (${AUDIT('event-released', 'events')})
     select event_id as id from released`,
    [eventId, actor, reason],
  );
  return rows.map(({ id }) => id);
}

/**
 * Leaves a rejected event out for good, so that those behind it go on. False when it is not the rejected event of a parked
 * aggregate.
 */
export async function skipParked(
  db: Queryable,
  eventId: string,
  { actor, reason }: OutboxNote,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `with parked as (
       update inbox.outbox_parked set next_try_at = now() where event_id = $1 returning event_id),
     skipped as (
       update inbox.outbox o set published_at = now(), skipped = true
       from parked where o.id = parked.event_id and coalesce(o.published_at, 'infinity') = 'infinity'
       returning o.*),
     audited as (${AUDIT('event-skipped', 'skipped')})
     select from skipped`,
    [eventId, actor, reason],
  );
  return rowCount === 1;
}
