/**
 * `inbox.outbox`: what the relay reads and marks. Events are inserted by the statements that complete a command or record its
 * death.
 *
 * Statements that address events by id compare `published_at` in a way that no partial index can serve: while a session holds
 * a snapshot open, `outbox_waiting` is full of dead entries, and the planner, whose statistics call it empty, prefers it.
 *
 * @module
 */
import type { Pool } from 'pg';
import { sqlState, withTransaction } from '../platform/postgres.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { PublishedEvent } from '../core/published-event.ts';
import { LEASE, LEASE_HELD } from './outbox-lease.ts';

/** Positions of the outbox, inclusive at both ends. */
export interface PositionRange {
  low: number;
  high: number;
}

/** How many events to read at most, and (after the first) how many bytes, as they are stored, compressed. */
export interface BatchLimits {
  events: number;
  bytes: number;
}

export const UNPUBLISHED = `coalesce(o.published_at, '-infinity') = '-infinity'`;

/** The first events, with what their commands are correlated to; `next` selects rows of inbox.outbox. */
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

const LANE = 'select * from inbox.outbox where published_at is null and parked';

/**
 * The next events that are not parked, in order of position: those above the floor, and those in the given ranges below it,
 * where a transaction that commits late may have left some.
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
          cross join lateral (${LANE} = 0 and position between r.low and r.high order by position limit $4) as late)
         union all
         (${LANE} = 0 and position > $1 order by position limit $4)) as found`,
      4,
      5,
    ),
    [floor, ranges.map(({ low }) => low), ranges.map(({ high }) => high), limits.events, limits.bytes],
  );
  return rows;
}

/**
 * The same without a floor: all there are. It finds what the floor hides, such as events of which `published_at` was reset by
 * hand.
 *
 * @returns null when it took longer than the limit, because dead entries pile up
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

/** The next events of a parked aggregate, above a position. */
export async function findParkedEvents(
  db: Queryable,
  parkedId: string,
  above: number,
  limits: BatchLimits,
): Promise<PublishedEvent[]> {
  const { rows } = await db.query<PublishedEvent>(batch(`${LANE} = $1 and position > $2`, 3, 4), [
    parkedId,
    above,
    limits.events,
    limits.bytes,
  ]);
  return rows;
}

/** After it none of these events is read again. False, and nothing is changed, when the lease is lost. */
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
