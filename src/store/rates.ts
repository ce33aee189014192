/**
 * How much comes, goes and fails: for people who look, through indexes that are there for other reasons.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import { ID_AT } from './kinship.ts';

/** In the last so many minutes. */
export interface Rates {
  minutes: number;
  received: number;
  /** Of those received in that time, the ones that are Completed. */
  completed: number;
  /** Failed attempts. */
  failed: number;
  deadLettered: number;
}

const WINDOWS_MINUTES = [1, 15, 60];

/** Entries and dead letters are found by their ids, which hold a time; failures by going back from the last. */
export async function readRates(db: Queryable): Promise<Rates[]> {
  const { rows } = await db.query<Rates>(
    `with received as materialized (
       select received_at, status from inbox.entries where id >= ${ID_AT(`now() - interval '61 minutes'`)}),
     dead as materialized (
       select dead_at from inbox.dead_letters where id >= ${ID_AT(`now() - interval '61 minutes'`)}),
     failed as materialized (
       select failed_at from (select failed_at from inbox.failures order by id desc limit 200000) as latest
       where failed_at >= now() - interval '61 minutes')
     select minutes,
       (select count(*) from received where received_at >= since)::float8 as received,
       (select count(*) from received where received_at >= since and status = 'Completed')::float8 as completed,
       (select count(*) from failed where failed_at >= since)::float8 as failed,
       (select count(*) from dead where dead_at >= since)::float8 as "deadLettered"
     from unnest($1::integer[]) as minutes, lateral (select now() - minutes * interval '1 minute' as since) as start
     order by minutes`,
    [WINDOWS_MINUTES],
  );
  return rows;
}

/** Since when the oldest has waited; null where none does. */
export interface Oldest {
  pending: Date | null;
  failed: Date | null;
  openDeadLetter: Date | null;
}

/** Through the partial indexes of what is open. */
export async function findOldest(db: Queryable): Promise<Oldest> {
  const { rows } = await db.query<Oldest>(
    `select (select min(received_at) from inbox.entries where status = 'Pending') as pending,
            (select min(received_at) from inbox.entries where status = 'Failed') as failed,
            (select min(dead_at) from inbox.dead_letters where resolution is null) as "openDeadLetter"`,
  );
  return rows[0]!;
}
