/**
 * `inbox.outbox`: the events that the relay reads and marks as published. They are inserted by the statements that
 * complete a command or record a dead letter.
 *
 * Statements that find events by id compare `published_at` in a form that no partial index can serve. While a session
 * holds a snapshot open, the index `outbox_waiting` is full of dead entries. The planner would still prefer it, because
 * its statistics say that the index is empty.
 *
 * @module
 */
import type { Pool } from 'pg';
import { sqlState, withTransaction } from '../platform/postgres.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { PublishedEvent } from '../core/published-event.ts';
import { LEASE, LEASE_HELD } from './outbox-lease.ts';

/** A range of outbox positions, inclusive at both ends. */
export interface PositionRange {
  low: number;
  high: number;
}

/**
 * The maximum number of events to read, and of their bytes as stored (compressed). The first event is read regardless
 * of its size.
 */
export interface BatchLimits {
  events: number;
  bytes: number;
}

export const UNPUBLISHED = `coalesce(o.published_at, '-infinity') = '-infinity'`;

/** Selects the first events, with the correlation_id of their commands; `next` selects rows of inbox.outbox. */
const batch = (next: string, limit: number, bytes: number) => `
  select o.id, o.position::float8 as position, o.aggregatetype as "aggregateType", o.aggregateid as "aggregateId",
         o.type, o.payload, o.metadata, o.message_id as "messageId", e.correlation_id as "correlationId",
         o.created_at as "createdAt"
  from (
    select *, row_number() over (order by position) as place,
           sum(pg_column_size(payload) + pg_column_size(metadata) + pg_column_size(aggregateid)
             + pg_column_size(aggregatetype) + pg_column_size(type)) over (order by position) as bytes
    from (${next} order by position limit $${limit}) as next) as o
  left join inbox.entries e on e.message_id = o.message_id
  where o.place = 1 or o.bytes <= $${bytes}
  order by o.position`;

const UNPUBLISHED_WHERE_PARKED = 'select * from inbox.outbox where published_at is null and parked';

/**
 * Returns the next events that are not parked, in order of position: those above the floor, and those in the given ranges
 * below it, where a transaction that committed late may have left some.
 */
export async function findUnpublished(
  db: Queryable,
  floor: number,
  ranges: readonly PositionRange[],
  limits: BatchLimits,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(
    batch(
      `select * from (
         (select late.* from unnest($2::bigint[], $3::bigint[]) as r (low, high)
          cross join lateral (${UNPUBLISHED_WHERE_PARKED} = 0 and position between r.low and r.high order by position limit $4) as late)
         union all
         (${UNPUBLISHED_WHERE_PARKED} = 0 and position > $1 order by position limit $4)) as found`,
      4,
      5,
    ),
    [floor, ranges.map(({ low }) => low), ranges.map(({ high }) => high), limits.events, limits.bytes],
  );
  return rows;
}

/**
 * Like {@link findUnpublished}, but without a floor. It also finds events below the floor, such as those whose
 * `published_at` was reset by hand.
 *
 * @returns null if the query exceeded the time limit, because there are many dead index entries
 */
export async function findAllUnpublished(
  pool: Pool,
  limits: BatchLimits,
  limitMs: number,
): Promise<PublishedEvent[] | null> {
  try {
    return await withTransaction(pool, async (tx) => {
      await tx.query(`select set_config('statement_timeout', $1, true)`, [String(limitMs)]);
      return findUnpublished(tx, -1, [], limits);
    });
  } catch (error) {
    if (sqlState(error) === '57014') return null;
    throw error;
  }
}

/** Returns the next events of a parked aggregate, above a position. */
export async function findParkedEvents(
  db: Queryable,
  parkedId: string,
  above: number,
  limits: BatchLimits,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(
    batch(`${UNPUBLISHED_WHERE_PARKED} = $1 and position > $2`, 3, 4),
    [parkedId, above, limits.events, limits.bytes],
  );
  return rows;
}

/** Marks events as published, so that they are not read again. Returns false and changes nothing if the lease is lost. */
export async function markPublished(db: Queryable, holder: string, ids: readonly string[]): Promise<boolean> {
  const { rows } = await db.query<{ held: boolean }>(
    `with ${LEASE(1)},
     marked as (
       update inbox.outbox o set published_at = now()
       where id = any ($2::uuid[]) and ${UNPUBLISHED} and exists (select from lease))
     select ${LEASE_HELD}`,
    [holder, ids],
  );
  return rows[0]!.held;
}
