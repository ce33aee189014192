/**
 * Events that nobody publishes.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import { ID_AT, TIME_OF_ID } from './ids.ts';
import { OUTBOX_LOCK } from './outbox.ts';

/** More are not counted: where nobody publishes, all that were ever emitted are waiting. */
export const MOST_WAITING = 100_000;

export interface OutboxLag {
  /** Events that have waited for longer than was asked for; at most {@link MOST_WAITING}. */
  count: number;
  /** How long the oldest of them has waited, in ms; null for none. */
  oldestMs: number | null;
  /** The id of the one that is next. */
  next: string | null;
  /** A relay has the outbox. */
  relay: boolean;
  /** A relay has published: an event among the oldest thousand or the newest thousand is marked. */
  published: boolean;
}

const someArePublished = (order: 'asc' | 'desc') => `
  exists (select from (select published_at from inbox.outbox order by id ${order} limit 1000) as sample
    where published_at is not null)`;

/**
 * By the time in an event's id, which is that of its row; `created_at` is when its transaction began, hours before where
 * the command is long-running.
 */
export async function findOutboxLag(db: Queryable, ageMs: number): Promise<OutboxLag> {
  const { rows } = await db.query<OutboxLag>(
    `with late as materialized (
       select id, position from inbox.outbox
       where published_at is null and id < ${ID_AT(`now() - $1 * interval '1 millisecond'`)}
       order by position limit $2)
     select count(*)::float8 as count,
            (extract(epoch from now()) * 1000 - min(${TIME_OF_ID('id')}))::float8 as "oldestMs",
            (array_agg(id order by position))[1] as next,
            exists (select from pg_locks
              where locktype = 'advisory' and granted and objsubid = 1
                and database = (select oid from pg_database where datname = current_database())
                and classid::bigint << 32 | objid::bigint = $3) as relay,
            ${someArePublished('asc')} or ${someArePublished('desc')} as published
     from late`,
    [ageMs, MOST_WAITING, OUTBOX_LOCK],
  );
  return rows[0]!;
}
