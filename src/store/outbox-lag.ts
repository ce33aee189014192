/**
 * Events that nobody publishes.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { ID_AT, TIME_OF_ID } from './ids.ts';
import { EARLIER_RELAY } from './outbox-lease.ts';

/** More are not counted: where nobody publishes, all that were ever emitted are waiting. */
export const MOST_WAITING = 100_000;

export interface OutboxLag {
  /** Events that have waited for longer than was asked for, without those of parked aggregates; at most {@link MOST_WAITING}. */
  count: number;
  /** How long the oldest of them has waited, in ms; null for none. */
  oldestMs: number | null;
  /** The id of the one that is next. */
  next: string | null;
  /** The relay that publishes, as host name and process id; null for none. */
  relay: string | null;
  /** A relay has published: an event among the oldest thousand or the newest thousand is marked. */
  published: boolean;
}

const someArePublished = (order: 'asc' | 'desc') => `
  exists (select from (select published_at from inbox.outbox order by id ${order} limit 1000) as sample
    where published_at is not null)`;

/**
 * By the time in an event's id, which is when its row was written; `created_at` is when its transaction began, hours before
 * where the command is long-running.
 */
export async function findOutboxLag(db: Queryable, ageMs: number): Promise<OutboxLag> {
  const { rows } = await db.query<OutboxLag>(
    `with late as materialized (
       select id, position from inbox.outbox
       where published_at is null and parked = 0
         and position > coalesce((select position from inbox.outbox_lease), -1)
         and id < ${ID_AT(`now() - $1::float8 * interval '1 millisecond'`)}
       order by position limit $2)
     select count(*)::float8 as count,
            (extract(epoch from now()) * 1000 - min(${TIME_OF_ID('id')}))::float8 as "oldestMs",
            (array_agg(id order by position))[1] as next,
            coalesce((select name from inbox.outbox_lease where until > clock_timestamp()),
              case when ${EARLIER_RELAY} then 'one of an earlier release' end) as relay,
            ${someArePublished('asc')} or ${someArePublished('desc')} as published
     from late`,
    [ageMs, MOST_WAITING],
  );
  return rows[0]!;
}

export interface ParkedSummary {
  /** Aggregates of which the broker rejected an event. */
  aggregates: number;
  /** Since when the first of them is parked; null for none. */
  since: Date | null;
  /** The rejected event of that one. */
  eventId: string | null;
}

export async function summarizeParked(db: Queryable): Promise<ParkedSummary> {
  const { rows } = await db.query<ParkedSummary>(
    `select count(*)::integer as aggregates, min(parked_at) as since,
            (array_agg(event_id order by parked_at, id))[1] as "eventId"
     from inbox.outbox_parked`,
  );
  return rows[0]!;
}
