/**
 * Counts entries by command type and status.
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
  /** When the oldest of them was received; null if the count is estimated. */
  oldest: Date | null;
  /** True if the count comes from Postgres's statistics. Only Completed entries are estimated; all others are counted. */
  estimated: boolean;
}

const COUNT = `
  select command_type as "commandType", status, count(*)::float8 as count, min(received_at) as oldest,
         false as estimated
  from inbox.entries`;

/** Reads every entry, at about four million per second. Use it for a person's request, not in a loop. */
export async function countEntries(db: Queryable): Promise<StatusCount[]> {
  const { rows } = await db.query<StatusCount>(
    `${COUNT} group by command_type, status order by command_type, status`,
  );
  return rows;
}

const UNFINISHED = STATUSES.filter((status) => status !== 'Completed');

/**
 * Counts all entries but the Completed ones. Each status is a literal, because otherwise the planner does not use its
 * partial index.
 */
export async function countUnfinished(db: Queryable): Promise<StatusCount[]> {
  const each = UNFINISHED.map(
    (status) => `${COUNT} where status = '${status}' group by command_type, status`,
  );
  const { rows } = await db.query<StatusCount>(`${each.join(' union all ')} order by 1, 2`);
  return rows;
}

/** The results of the last ANALYZE. */
export interface EntryStatistics {
  /** Null before the first ANALYZE. */
  total: number | null;
  /** The most frequent command types, up to 100. Missing types are too rare to matter. */
  types: string[];
  /** The share of each of these types in all entries. */
  shares: number[];
}

/** Estimates the total as the planner does: rows per page at the last ANALYZE, times the current number of pages. */
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
