/**
 * Lists parked events for operators, and releases or skips them.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { UNPUBLISHED } from './outbox.ts';

/** An event that the broker rejected; later events of its aggregate wait behind it. */
export interface ParkedEvent {
  id: string;
  /** Null if the event was deleted. */
  aggregateType: string | null;
  /** The first 300 characters. */
  aggregateId: string | null;
  type: string | null;
  /** The command that emitted it. */
  messageId: string | null;
  attempts: number;
  /** The broker's last answer, without the contents of the event. */
  error: string;
  parkedAt: Date;
  failedAt: Date;
  nextTryAt: Date;
  /** How many later events of the aggregate wait; at most `MAX_BEHIND` are counted. */
  behind: number;
}

export const MAX_BEHIND = 10_000;

/** Lists parked events, longest parked first. The rejected event is itself parked, so it is subtracted from the count. */
export async function listParkedEvents(db: Queryable, limit: number): Promise<ParkedEvent[]> {
  const { rows } = await db.query<ParkedEvent>(
    `select p.event_id as id, left(o.aggregatetype, 300) as "aggregateType", left(o.aggregateid, 300) as "aggregateId",
            left(o.type, 300) as type, o.message_id as "messageId", p.attempts, p.error, p.parked_at as "parkedAt",
            p.failed_at as "failedAt", p.next_try_at as "nextTryAt", lane.behind
     from (select * from inbox.outbox_parked order by parked_at, id limit $1) as p
     left join inbox.outbox o on o.id = p.event_id
     cross join lateral (
       select greatest(count(*) - case when ${UNPUBLISHED} then 1 else 0 end, 0)::integer as behind
       from (select from inbox.outbox w where w.published_at is null and w.parked = p.id
             limit ${MAX_BEHIND + 1}) as waiting) as lane
     order by p.parked_at, p.id`,
    [limit],
  );
  return rows;
}

/** Who acts on an event, and why. */
export interface EventNote {
  actor: string;
  reason: string | null;
}

/** Makes the next retry of parked events due now: of these events, or of all of them (null). Returns their ids. */
export async function releaseParkedEvents(
  db: Queryable,
  eventIds: readonly string[] | null,
  { actor, reason }: EventNote,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'select inbox.release_parked($1::uuid[], $2::text, $3::text) as id',
    [eventIds, actor, reason],
  );
  return rows.map(({ id }) => id);
}

/**
 * Marks a parked event as done without publishing it, and makes the next event of its aggregate due. Returns null if no
 * such event is parked. `audited` is false, and nothing is changed, if its command is no longer in inbox.entries.
 */
export async function skipParkedEvent(
  db: Queryable,
  eventId: string,
  { actor, reason }: EventNote,
): Promise<{ audited: boolean } | null> {
  const { rows } = await db.query<{ audited: boolean | null }>(
    'select inbox.skip_event($1::uuid, $2::text, $3::text) as audited',
    [eventId, actor, reason],
  );
  const { audited } = rows[0]!;
  return audited === null ? null : { audited };
}
