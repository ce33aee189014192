/**
 * Sets of open dead letters: a summary before an action on all of them, and the list to work through.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { DeadLetterFilter } from './dead-letter-filter.ts';
import { FILTER_CONDITION, filterParameters } from './dead-letter-filter.ts';
import type { DeadLetter } from './dead-letters.ts';

export interface GroupPreview {
  failureGroup: string;
  commandType: string;
  count: number;
  oldest: Date;
  newest: Date;
  /** The message_id and the error of the newest dead letter. */
  example: string;
  error: string;
}

/** Groups by failure group and command type, largest group first. */
export async function previewDeadLetters(db: Queryable, filter: DeadLetterFilter): Promise<GroupPreview[]> {
  const { rows } = await db.query<GroupPreview>(
    `select failure_group as "failureGroup", command_type as "commandType", count(*)::float8 as count,
            min(dead_at) as oldest, max(dead_at) as newest,
            (array_agg(message_id order by dead_at desc, id desc))[1] as example,
            (array_agg(error order by dead_at desc, id desc))[1] as error
     from inbox.dead_letters where resolution is null and ${FILTER_CONDITION}
     group by failure_group, command_type order by count(*) desc, failure_group`,
    filterParameters(filter),
  );
  return rows;
}

/** Lists the dead letters that the filter matches now, oldest first; all of them without a limit. */
export async function listOpenDeadLetters(
  db: Queryable,
  filter: DeadLetterFilter,
  limit: number | null = null,
): Promise<Pick<DeadLetter, 'id' | 'messageId' | 'commandType'>[]> {
  const parameters = filterParameters(filter);
  const { rows } = await db.query<Pick<DeadLetter, 'id' | 'messageId' | 'commandType'>>(
    `select id, message_id as "messageId", command_type as "commandType" from inbox.dead_letters
     where resolution is null and ${FILTER_CONDITION} order by dead_at, id limit $${parameters.length + 1}`,
    [...parameters, limit],
  );
  return rows;
}

/**
 * Counts how many of these dead letters were discarded and how many are open. All others were replayed, including those
 * that retention has deleted.
 */
export async function countResolutions(
  db: Queryable,
  ids: readonly string[],
): Promise<{ discarded: number; open: number }> {
  const { rows } = await db.query<{ discarded: number; open: number }>(
    `select count(*) filter (where resolution = 'discarded')::integer as discarded,
            count(*) filter (where resolution is null)::integer as open
     from inbox.dead_letters where id = any ($1)`,
    [ids],
  );
  return rows[0]!;
}
