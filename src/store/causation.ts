/**
 * Finds the messages that are related to a message, and the events that it emitted.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { EntryStatus } from '../core/protocol.ts';
import { ID_AT } from './ids.ts';

/** Another message, as a node in the tree of causes. */
export interface RelatedMessage {
  messageId: string;
  commandType: string;
  status: EntryStatus;
  /** The message_id of its direct cause. */
  causationId: string | null;
  /** Steps from the requested message: negative for its causes, positive for its effects. */
  depth: number;
}

const MAX_LEVELS = 10;
/** The limit for messages that a message caused. */
export const MAX_RELATED_MESSAGES = 200;

/**
 * Returns the direct and indirect causes of a message, the first cause first, then the messages that it caused, level by
 * level, at most {@link MAX_RELATED_MESSAGES}. Follows at most 10 levels in each direction, so a cycle cannot run
 * forever.
 */
export async function findRelatedMessages(db: Queryable, messageId: string): Promise<RelatedMessage[]> {
  const { rows } = await db.query<RelatedMessage>(
    `with recursive above as (
       select c.message_id, c.command_type, c.status, c.causation_id, -1 as depth
       from inbox.entries e join inbox.entries c on c.message_id = e.causation_id
       where e.message_id = $1 and e.causation_id <> e.message_id
       union all
       select c.message_id, c.command_type, c.status, c.causation_id, depth - 1
       from above join inbox.entries c on c.message_id = above.causation_id
       where depth > -$2::integer and c.message_id <> $1),
     below as (
       select message_id, command_type, status, causation_id, 1 as depth
       from inbox.entries where causation_id = $1 and message_id <> $1
       union all
       select c.message_id, c.command_type, c.status, c.causation_id, depth + 1
       from below join inbox.entries c on c.causation_id = below.message_id collate "default"
       where depth < $2::integer and c.message_id <> $1)
     select message_id as "messageId", command_type as "commandType", status, causation_id as "causationId", depth
     from (select * from above union all (select * from below limit $3)) as kin
     order by depth, message_id`,
    [messageId, MAX_LEVELS, MAX_RELATED_MESSAGES],
  );
  return rows;
}

/**
 * Counts the other messages of a message's flow. The correlation_id of a flow is the message_id of the command that began
 * it.
 */
export async function countFlow(
  db: Queryable,
  messageId: string,
  correlationId: string | null,
): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `select count(*)::float8 as count from inbox.entries
     where (correlation_id = $1 or message_id = $1) and message_id <> $2`,
    [correlationId ?? messageId, messageId],
  );
  return rows[0]!.count;
}

export interface EmittedEvent {
  type: string;
  aggregateType: string;
  aggregateId: string;
  createdAt: Date;
  publishedAt: Date | null;
}

/**
 * Returns the events of a completed command that are still in the outbox, in order. There is no index by message, because
 * every event would pay for it. Instead, the ids narrow the search: they contain the time when the event was written.
 * That is `processed_at`, or, for entries that earlier releases completed, up to the duration of an attempt later,
 * because they recorded when the transaction began.
 *
 * @param processedAt - of the command's entry
 * @param forMs - how long the attempt may have taken
 */
export async function findEvents(
  db: Queryable,
  messageId: string,
  processedAt: Date,
  forMs: number,
): Promise<EmittedEvent[]> {
  const { rows } = await db.query<EmittedEvent>(
    `select type, aggregatetype as "aggregateType", aggregateid as "aggregateId", created_at as "createdAt",
            published_at as "publishedAt"
     from inbox.outbox
     where id >= ${ID_AT(`$2::timestamptz - interval '1 second'`)}
       and id < ${ID_AT(`$2::timestamptz + $3::float8 * interval '1 millisecond'`)}
       and message_id = $1 and type <> 'CommandDeadLettered'
     order by position`,
    [messageId, processedAt, forMs],
  );
  return rows;
}
