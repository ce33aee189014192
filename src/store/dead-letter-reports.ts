/**
 * Reports on dead letters: grouped by cause, and one by one.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { DeadLetterFilter } from './dead-letter-filter.ts';
import { FILTER_CONDITION, filterParameters } from './dead-letter-filter.ts';
import type { DeadLetter } from './dead-letters.ts';
import { DEAD_LETTER_COLUMNS } from './dead-letters.ts';

export const RESOLUTION_STATES = ['open', 'replayed', 'discarded', 'all'] as const;
export type ResolutionState = (typeof RESOLUTION_STATES)[number];

/**
 * Dead letters with one cause: command type, error type, and the error's text without the parts that differ between
 * messages.
 */
export interface FailureGroup {
  /** The key of the group, which is also the search attribute `FailureGroup`. */
  failureGroup: string;
  commandType: string;
  errorType: string;
  count: number;
  firstDeadAt: Date;
  lastDeadAt: Date;
  /** The build ids of the workers that recorded them; contains null if a worker had none. */
  buildIds: (string | null)[];
  /** The newest dead letter and its error. */
  example: { messageId: string; error: string };
}

/**
 * Literal conditions, so that the planner can match them to a partial index. The indexes of open dead letters are small,
 * because few are open.
 */
const CONDITIONS: Record<ResolutionState, string> = {
  open: 'resolution is null',
  replayed: `resolution = 'replayed'`,
  discarded: `resolution = 'discarded'`,
  all: 'true',
};

/** Largest group first. */
export async function findFailureGroups(
  db: Queryable,
  filter: DeadLetterFilter,
  state: ResolutionState,
  limit: number,
): Promise<FailureGroup[]> {
  const parameters = filterParameters(filter);
  const { rows } = await db.query<FailureGroup>(
    `select failure_group as "failureGroup", command_type as "commandType", error_type as "errorType",
            count(*)::float8 as count, min(dead_at) as "firstDeadAt", max(dead_at) as "lastDeadAt",
            array_agg(distinct build_id) as "buildIds",
            (array_agg(jsonb_build_object('messageId', message_id, 'error', error) order by dead_at desc, id desc))[1]
              as example
     from inbox.dead_letters where ${CONDITIONS[state]} and ${FILTER_CONDITION}
     group by failure_group, command_type, error_type
     order by count(*) desc, failure_group limit $${parameters.length + 1}`,
    [...parameters, limit],
  );
  return rows;
}

/** Newest first. `before` is the id of the last dead letter of the previous page. */
export async function findDeadLetters(
  db: Queryable,
  filter: DeadLetterFilter,
  state: ResolutionState,
  { before, limit }: { before: string | null; limit: number },
): Promise<DeadLetter[]> {
  const parameters = filterParameters(filter);
  const $ = (index: number) => `$${parameters.length + index}`;
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters
     where ${CONDITIONS[state]} and ${FILTER_CONDITION} and (${$(2)}::uuid is null or id < ${$(2)})
     order by id desc limit ${$(1)}`,
    [...parameters, limit, before],
  );
  return rows;
}
