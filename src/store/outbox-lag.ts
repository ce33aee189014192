/**
 * Events that have waited too long to be published.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { ID_AT, TIME_OF_ID } from './ids.ts';
import { EARLIER_RELAY } from './outbox-lease.ts';

/** Further events are not counted: if no relay publishes, every event that was ever emitted is waiting. */
export const MAX_WAITING_COUNTED = 100_000;

export interface OutboxLag {
  /**
   * Events that have waited longer than the given age, except those of parked aggregates; at most
   * {@link MAX_WAITING_COUNTED}.
   */
  count: number;
  /** How long the oldest of them has waited, in ms; null if none is waiting. */
  oldestMs: number | null;
  /** The id of the next event to publish. */
  next: string | null;
  /** The relay that publishes, as host name and process id; null if there is none. */
  relay: string | null;
  /**
   * True if a relay has ever published: an event among the oldest thousand or the newest thousand is marked as published.
   */
  published: boolean;
}

const someArePublished = (order: 'asc' | 'desc') => `
  exists (select from (select published_at from inbox.outbox order by id ${order} limit 1000) as sample
    where published_at is not null)`;

/**
 * Uses the time in an event's id, which is when its row was written. `created_at` may be when its transaction began,
 * which is hours earlier for a long-running command.
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
    [ageMs, MAX_WAITING_COUNTED],
  );
  return rows[0]!;
}

export interface ParkedSummary {
  /** How many aggregates have an event that the broker rejected. */
  aggregates: number;
  /** When the first of them was parked; null if none is parked. */
  since: Date | null;
  /** The rejected event of that aggregate. */
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
