/**
 * Counts of open work, for metrics. They are read from the partial indexes of open rows, and the counts have a limit, so
 * their cost does not grow with the number of completed entries or with a backlog.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { typesOfStatus } from './workers.ts';

/** Further entries of one type and status are not counted. */
export const MAX_COUNTED = 100_000;

/** The statuses of commands that wait for an attempt or run one. */
export const OPEN_STATUSES = ['Pending', 'Processing', 'Failed'] as const;

export interface OpenCount {
  commandType: string;
  status: (typeof OPEN_STATUSES)[number];
  /** At most {@link MAX_COUNTED}. */
  count: number;
  /**
   * Since when the oldest of them has waited, in ms: since its receipt, or since its claim if it is Processing. Null for
   * Pending entries that were all replayed, because their receipt says nothing about their wait.
   */
  oldestMs: number | null;
}

const COUNT = (status: OpenCount['status'], order: string, since: string) => `
  select types.command_type as "commandType", '${status}' as status, count(*)::float8 as count,
         (extract(epoch from clock_timestamp() - min(waiting.since)) * 1000)::float8 as "oldestMs"
  from ${typesOfStatus(status)} as types
  cross join lateral (
    select ${since} as since from inbox.entries
    where status = '${status}' and command_type = types.command_type order by ${order} limit ${MAX_COUNTED}) as waiting
  group by types.command_type`;

/** Counts the entries that wait for an attempt or run one, by command type. */
export async function countOpenWork(db: Queryable): Promise<OpenCount[]> {
  const { rows } = await db.query<OpenCount>(
    [
      COUNT('Pending', 'received_at', 'case when generation = 0 then received_at end'),
      COUNT('Failed', 'next_retry_at', 'received_at'),
      COUNT('Processing', 'claimed_at', 'claimed_at'),
    ].join(' union all '),
  );
  return rows;
}

export interface OpenGroup {
  commandType: string;
  failureGroup: string;
  count: number;
}

export interface OpenDeadLetterCounts {
  /** The largest groups. */
  groups: OpenGroup[];
  /** How many open dead letters all other groups have. */
  others: number;
  /** How long the oldest one has waited, in ms; null if there is none. */
  oldestMs: number | null;
}

/** Counts the open dead letters of the `limit` largest failure groups, and of all others together. */
export async function countOpenGroups(db: Queryable, limit: number): Promise<OpenDeadLetterCounts> {
  const { rows } = await db.query<OpenGroup & { place: number; oldestMs: number }>(
    `select command_type as "commandType", failure_group as "failureGroup", count(*)::float8 as count,
            row_number() over (order by count(*) desc, failure_group)::integer as place,
            (extract(epoch from clock_timestamp() - min(dead_at)) * 1000)::float8 as "oldestMs"
     from inbox.dead_letters where resolution is null group by command_type, failure_group`,
  );
  return {
    groups: rows.filter(({ place }) => place <= limit),
    others: rows.filter(({ place }) => place > limit).reduce((sum, { count }) => sum + count, 0),
    oldestMs: rows.length === 0 ? null : Math.max(...rows.map(({ oldestMs }) => oldestMs)),
  };
}

/** The items of the campaigns that are running or paused. */
export interface CampaignItemCounts {
  total: number;
  completed: number;
  failed: number;
  skipped: number;
}

const sum = (column: string) => `coalesce(sum(${column}), 0)::float8 as ${column}`;

export async function countCampaignItems(db: Queryable): Promise<CampaignItemCounts> {
  const { rows } = await db.query<CampaignItemCounts>(
    `select ${['total', 'completed', 'failed', 'skipped'].map(sum).join(', ')}
     from inbox.campaigns where state in ('Running', 'Paused')`,
  );
  return rows[0]!;
}
