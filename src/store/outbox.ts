/**
 * `inbox.outbox`: what the relay reads and marks. Events are inserted by the statements that complete or bury a command.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import type { PublishedEvent } from '../publisher.ts';

/** Of the advisory lock that the relay which publishes holds. The number is arbitrary; it must only be ours. */
export const OUTBOX_LOCK = 8071829304690;

/**
 * Takes the outbox for this connection, for as long as it lives: one relay publishes at a time. It does not wait, since
 * a statement that waits holds a snapshot, and with that keeps vacuum from cleaning up behind every other one.
 */
export async function tryLockOutbox(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [
    OUTBOX_LOCK,
  ]);
  return rows[0]!.locked;
}

/**
 * The next events in order of position, at most so many, and (after the first) at most so many bytes of payload as it
 * is stored, compressed. Never by `position > last`: a transaction may commit after another that took a higher position.
 */
export async function findUnpublished(
  db: Queryable,
  limit: number,
  maxBytes: number,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(
    `select o.id, o.position::float8 as position, o.aggregatetype as "aggregateType", o.aggregateid as "aggregateId",
            o.type, o.payload, o.metadata, o.message_id as "messageId", e.correlation_id as "correlationId",
            o.created_at as "createdAt"
     from (
       select *, row_number() over (order by position) as place,
              sum(pg_column_size(payload)) over (order by position) as bytes
       from (select * from inbox.outbox where published_at is null order by position limit $1) as next) as o
     left join inbox.entries e on e.message_id = o.message_id
     where o.place = 1 or o.bytes <= $2
     order by o.position`,
    [limit, maxBytes],
  );
  return rows;
}

/** One statement a batch: after it none of these events is read again. */
export async function markPublished(db: Queryable, events: readonly PublishedEvent[]): Promise<void> {
  await db.query(
    'update inbox.outbox set published_at = now() where id = any($1::uuid[]) and published_at is null',
    [events.map(({ id }) => id)],
  );
}
