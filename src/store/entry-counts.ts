/**
 * How many entries there are, by command type and status.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { STATUSES } from '../core/protocol.ts';
import type { EntryStatus } from '../core/protocol.ts';

export interface StatusCount {
  commandType: string;
  status: EntryStatus;
  count: number;
  /** When the oldest of them was received; null where the count is estimated. */
  oldest: Date | null;
  /** By Postgres's statistics. Only Completed ones are: all others are counted. */
  estimated: boolean;
}

const COUNT = `
  select command_type as "commandType", status, count(*)::float8 as count, min(received_at) as oldest,
         false as estimated
  from inbox.entries`;

/** Reads every entry, a second for four million: for people, not for a loop. */
export async function countEntries(db: Queryable): Promise<StatusCount[]> {
  const { rows } = await db.query<StatusCount>(
    `${COUNT} group by command_type, status order by command_type, status`,
  );
  return rows;
}

const UNFINISHED = STATUSES.filter((status) => status !== 'Completed');

/** All but the Completed ones, each status written out: only so does the planner see its partial index. */
export async function countUnfinished(db: Queryable): Promise<StatusCount[]> {
  const each = UNFINISHED.map(
    (status) => `${COUNT} where status = '${status}' group by command_type, status`,
  );
  const { rows } = await db.query<StatusCount>(`${each.join(' union all ')} order by 1, 2`);
  return rows;
}

/** What the last ANALYZE found. */
export interface EntryStatistics {
  /** Null where there was none yet. */
  total: number | null;
  /** Command types by frequency, up to 100; not in it is what is too rare to matter. */
  types: string[];
  /** Of each of these types, its share of all entries. */
  shares: number[];
}

/** The total as the planner reckons it: rows to a page at the last ANALYZE, times the pages of now. */
export async function readEntryStatistics(db: Queryable): Promise<EntryStatistics> {
  const { rows } = await db.query<EntryStatistics>(
    `select case when c.reltuples >= 0 and c.relpages > 0
              then c.reltuples::float8 / c.relpages
                * (pg_relation_size(c.oid) / current_setting('block_size')::bigint) end as total,
            coalesce(s.most_common_vals::text::text[], '{}') as types,
            coalesce(s.most_common_freqs::float8[], '{}') as shares
     from pg_class c
     left join pg_stats s on s.schemaname = 'inbox' and s.tablename = 'entries' and s.attname = 'command_type'
     where c.oid = 'inbox.entries'::regclass`,
  );
  return rows[0]!;
}
