/**
 * What operators see of parked events, and what they do about them.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import { UNPUBLISHED } from './outbox.ts';

/** An event that the broker rejected; later events of its aggregate wait behind it. */
export interface ParkedEvent {
  id: string;
  /** Null when the event was deleted. */
  aggregateType: string | null;
  /** The first 300 characters. */
  aggregateId: string | null;
  type: string | null;
  /** The command that emitted it. */
  messageId: string | null;
  attempts: number;
  /** The broker's last answer, without what the event carries. */
  error: string;
  parkedAt: Date;
  failedAt: Date;
  nextTryAt: Date;
  /** Later events of the aggregate that wait; at most {@link MOST_BEHIND} are counted. */
  behind: number;
}

export const MOST_BEHIND = 10_000;

/** The ones that have waited longest come first. The rejected event itself is the first of its lane. */
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
             limit ${MOST_BEHIND + 1}) as waiting) as lane
     order by p.parked_at, p.id`,
    [limit],
  );
  return rows;
}

/** Who does something about events, and why. */
export interface EventNote {
  actor: string;
  reason: string | null;
}

const AUDITED = (action: string, events: string) => `
  audited as (
    insert into inbox.audit (action, message_id, actor, reason, details)
    select '${action}', e.message_id, $2, $3,
           jsonb_build_object('eventId', e.event_id, 'eventType', left(e.type, 300),
             'aggregateType', left(e.aggregatetype, 300), 'aggregateId', left(e.aggregateid, 300))
    from ${events} e join inbox.entries using (message_id))`;

/** Makes the next try of parked events due, all of them or these; their ids. */
export async function releaseParkedEvents(
  db: Queryable,
  eventIds: readonly string[] | null,
  { actor, reason }: EventNote,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `with released as (
       update inbox.outbox_parked set next_try_at = now()
       where $1::uuid[] is null or event_id = any ($1::uuid[])
       returning event_id),
     events as (
       select r.event_id, o.message_id, o.type, o.aggregatetype, o.aggregateid
       from released r join inbox.outbox o on o.id = r.event_id),
     ${AUDITED('release-event', 'events')}
     select event_id as id from released`,
    [eventIds, actor, reason],
  );
  return rows.map(({ id }) => id);
}

/**
 * Marks a parked event as done without publishing it, and makes the next one of its aggregate due. `audited` is false, and
 * nothing is changed, when its command is no longer in inbox.entries. Null when no such event is parked.
 */
export async function skipParkedEvent(
  db: Queryable,
  eventId: string,
  { actor, reason }: EventNote,
): Promise<{ audited: boolean } | null> {
  const { rows } = await db.query<{ audited: boolean }>(
    `with found as materialized (
       select o.id as event_id, o.message_id, o.type, o.aggregatetype, o.aggregateid, p.id as lane,
              exists (select from inbox.entries n where n.message_id = o.message_id) as audited
       from inbox.outbox_parked p join inbox.outbox o on o.id = p.event_id
       where p.event_id = $1::uuid),
     skipped as (
       update inbox.outbox o set published_at = now()
       from found f
       where o.id = $1::uuid and f.audited and ${UNPUBLISHED}
       returning f.event_id, f.message_id, f.type, f.aggregatetype, f.aggregateid, f.lane),
     due as (update inbox.outbox_parked p set next_try_at = now() from skipped s where p.id = s.lane),
     ${AUDITED('skip-event', 'skipped')}
     select audited from found where not audited or exists (select from skipped)`,
    [eventId, actor, reason],
  );
  return rows[0] ?? null;
}
