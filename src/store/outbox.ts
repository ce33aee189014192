/**
 * `inbox.outbox`: what the relay reads and marks. Events are inserted by the statements that complete a command or make it a
 * dead letter.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import type { PublishedEvent } from '../publisher.ts';

const EVENT_COLUMNS = `
  o.id, o.position::float8 as position, o.aggregatetype as "aggregateType", o.aggregateid as "aggregateId",
  o.type, o.payload, o.metadata, o.message_id as "messageId", e.correlation_id as "correlationId",
  o.created_at as "createdAt"`;

/** At most `$1` rows of the source in order of position and, after the first, at most `$2` bytes of payload as it is stored. */
const inOrder = (source: string, more = '') => `
  select ${EVENT_COLUMNS}${more}
  from (
    select *, row_number() over (order by position) as place,
           sum(pg_column_size(payload)) over (order by position) as bytes
    from (${source}) as next) as o
  left join inbox.entries e on e.message_id = o.message_id
  where o.place = 1 or o.bytes <= $2::float8
  order by o.position`;

/** How much to read at once. */
export interface ReadLimits {
  events: number;
  bytes: number;
}

/** An event that is next, and whether its aggregate is parked, so that it has to wait. */
export type NextEvent = PublishedEvent & { waits: boolean };

const FIND_UNPUBLISHED = inOrder(
  `
  select *, exists (select from inbox.outbox_parked p
                    where (p.aggregatetype, p.aggregateid) = (outbox.aggregatetype, outbox.aggregateid)) as waits
  from inbox.outbox
  where published_at is null and not parked and position >= $3::float8::bigint
    and exists (select from inbox.outbox_lease where holder = $4)
  order by position limit $1::integer`,
  ', o.waits',
);

/**
 * The next events in order of position, from the floor on. A floor of 0 reads from the oldest: under a snapshot that is held
 * open, that walks over the dead index entries of all events that were published since. None when the lease is no longer held.
 */
export async function findUnpublished(
  db: Queryable,
  holder: string,
  { events, bytes }: ReadLimits,
  floor: number,
): Promise<NextEvent[]> {
  const { rows } = await db.query<NextEvent>(FIND_UNPUBLISHED, [events, bytes, floor, holder]);
  return rows;
}

/** The first unpublished event of each of some other aggregates that are not parked, at most `limit`. */
export async function findHeads(
  db: Queryable,
  except: readonly Pick<PublishedEvent, 'aggregateType' | 'aggregateId'>[],
  limit: number,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(
    `select distinct on (o.aggregatetype, o.aggregateid) ${EVENT_COLUMNS}
     from (
       select * from inbox.outbox
       where published_at is null and not parked
         and (aggregatetype, aggregateid) not in (select t, i from unnest($1::text[], $2::text[]) as tried (t, i))
         and not exists (select from inbox.outbox_parked p
           where (p.aggregatetype, p.aggregateid) = (outbox.aggregatetype, outbox.aggregateid))
       order by position limit $3::integer) as o
     left join inbox.entries e on e.message_id = o.message_id
     order by o.aggregatetype, o.aggregateid, o.position`,
    [except.map(({ aggregateType }) => aggregateType), except.map(({ aggregateId }) => aggregateId), limit],
  );
  return rows;
}

const FIND_WAITING = inOrder(`
  select * from inbox.outbox
  where parked and published_at is null and aggregatetype = $3 and aggregateid = $4
  order by position limit $1::integer`);

/** The first events that wait in a parked aggregate. */
export async function findWaiting(
  db: Queryable,
  { events, bytes }: ReadLimits,
  aggregateType: string,
  aggregateId: string,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(FIND_WAITING, [events, bytes, aggregateType, aggregateId]);
  return rows;
}

/** Not `published_at is null`: a statement that addresses rows by their key must not use the index of unpublished ones. */
const UNPUBLISHED = `coalesce(published_at, 'infinity') = 'infinity'`;

/**
 * Marks a batch in one statement: after it none of these events is read again. How many it marked; none when the lease is no
 * longer held.
 */
export async function markPublished(
  db: Queryable,
  holder: string,
  events: readonly Pick<PublishedEvent, 'id'>[],
): Promise<number> {
  const { rowCount } = await db.query(
    `update inbox.outbox set published_at = now()
     where id = any ($1::uuid[]) and ${UNPUBLISHED} and exists (select from inbox.outbox_lease where holder = $2)`,
    [events.map(({ id }) => id), holder],
  );
  return rowCount ?? 0;
}

/** Moves events behind the rejected one of their aggregate. */
export async function markParked(
  db: Queryable,
  holder: string,
  events: readonly Pick<PublishedEvent, 'id'>[],
): Promise<void> {
  await db.query(
    `update inbox.outbox set parked = true
     where id = any ($1::uuid[]) and ${UNPUBLISHED} and exists (select from inbox.outbox_lease where holder = $2)`,
    [events.map(({ id }) => id), holder],
  );
}
