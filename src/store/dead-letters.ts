/**
 * `inbox.dead_letters`: what waits for a person, and what that person did.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import type { Json, JsonObject } from '../json.ts';

/** A row of `inbox.dead_letters`. */
export interface DeadLetter {
  id: string;
  messageId: string;
  generation: number;
  commandType: string;
  /** Null also where it was pruned. */
  payload: Json;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
  errorType: string;
  error: string;
  failureGroup: string;
  reason: 'unrecoverable' | 'exhausted';
  retryCount: number;
  buildId: string | null;
  deadAt: Date;
  resolution: 'replayed' | 'discarded' | null;
  resolvedAt: Date | null;
  resolvedBy: string | null;
  resolvedReason: string | null;
  /** When retention took payload and metadata of a discarded one. */
  prunedAt: Date | null;
}

export const DEAD_LETTER_COLUMNS = `
  id, message_id as "messageId", generation, command_type as "commandType", payload,
  correlation_id as "correlationId", causation_id as "causationId", metadata, error_type as "errorType", error,
  failure_group as "failureGroup", reason, retry_count as "retryCount", build_id as "buildId", dead_at as "deadAt",
  resolution, resolved_at as "resolvedAt", resolved_by as "resolvedBy", resolved_reason as "resolvedReason",
  pruned_at as "prunedAt"`;

/** Not `resolution is null`: a statement that addresses one row by its key must not use the partial index of open ones. */
const OPEN = `coalesce(resolution, '') = ''`;

/** Every dead letter of a message, oldest first: one for each generation that died. */
export async function listDeadLetters(db: Queryable, messageId: string): Promise<DeadLetter[]> {
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters where message_id = $1 order by generation`,
    [messageId],
  );
  return rows;
}

/** The one with this id. */
export async function findDeadLetter(db: Queryable, id: string): Promise<DeadLetter | null> {
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters where id = $1`,
    [id],
  );
  return rows[0] ?? null;
}

/** The youngest dead letter of a message, open or resolved. */
export async function findLastDeadLetter(db: Queryable, messageId: string): Promise<DeadLetter | null> {
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters where message_id = $1 order by generation desc limit 1`,
    [messageId],
  );
  return rows[0] ?? null;
}

/** Who acts on a dead letter, and why. */
export interface Resolution {
  messageId: string;
  actor: string;
  reason: string | null;
  /** The one that is meant; null for whichever of the message is open. */
  deadLetterId: string | null;
}

export interface Replay extends Resolution {
  /** Replaces the entry's. */
  payload: Json | undefined;
  /**
   * Where the two payloads differ, for the audit; null where none is given. Never what was there: the audit is kept for
   * ever, and payloads are not.
   */
  changed: string[] | null;
  /** The campaign that this is a part of: its item is noted as replayed. */
  campaign: string | null;
}

/**
 * Gives an open dead letter new attempts: one resolution, the entry back to Pending in its next generation, and a line
 * in the audit, in one statement. A payload, where one is given, replaces the entry's; the dead letter keeps the old
 * one, and the fingerprint stays that of what was sent, so that the sender's repeats are still duplicates.
 *
 * `relayed_at` says that its workflow, which asked for this, goes on with it: no relay needs to start it.
 *
 * The new generation, or null when no dead letter is open, or not the one that is meant: of many replays at once, one wins.
 */
export async function replayDeadLetter(
  db: Queryable,
  { messageId, actor, reason, deadLetterId, payload, changed, campaign }: Replay,
): Promise<number | null> {
  const { rows } = await db.query<{ generation: number }>(
    `with letter as (
       update inbox.dead_letters
       set resolution = 'replayed', resolved_at = now(), resolved_by = $2, resolved_reason = $3
       where message_id = $1 and ${OPEN} and ($5::uuid is null or id = $5)
       returning id, message_id, generation),
     entry as (
       update inbox.entries e
       set status = 'Pending', generation = e.generation + 1, retry_count = 0, interruptions = 0,
           payload = coalesce($4, e.payload), relayed_at = now()
       from letter
       where e.message_id = letter.message_id and e.status::text = 'DeadLetter'
       returning e.message_id, e.generation),
     item as (
       update inbox.campaign_items i set replayed_at = now() from letter
       where i.dead_letter_id = letter.id and i.campaign_id = $6::uuid),
     audited as (
       insert into inbox.audit (action, message_id, actor, reason, details)
       select 'replay', letter.message_id, $2, $3,
              jsonb_build_object('deadLetterId', letter.id, 'generation', entry.generation, 'newPayload', $4 is not null)
                || case when $6 is null then '{}' else jsonb_build_object('campaign', $6) end
                || case when $7::jsonb is null then '{}' else jsonb_build_object('changed', $7::jsonb) end
       from letter join entry using (message_id))
     select generation from entry`,
    [
      messageId,
      actor,
      reason,
      payload === undefined ? null : JSON.stringify(payload),
      deadLetterId,
      campaign,
      changed === null ? null : JSON.stringify(changed),
    ],
  );
  return rows[0]?.generation ?? null;
}

/** Gives an open dead letter up for good; the entry stays DeadLetter. False when none is open, or not the one that is meant. */
export async function discardDeadLetter(
  db: Queryable,
  { messageId, actor, reason, deadLetterId }: Resolution,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `with letter as (
       update inbox.dead_letters
       set resolution = 'discarded', resolved_at = now(), resolved_by = $2, resolved_reason = $3
       where message_id = $1 and ${OPEN} and ($4::uuid is null or id = $4)
       returning id, message_id)
     insert into inbox.audit (action, message_id, actor, reason, details)
     select 'discard', message_id, $2, $3, jsonb_build_object('deadLetterId', id) from letter`,
    [messageId, actor, reason, deadLetterId],
  );
  return rowCount === 1;
}

/**
 * Opens a discarded dead letter again; the audit keeps who had discarded it, and why. False when the youngest is not a discarded
 * one, or was pruned: of many at once, one wins.
 */
export async function restoreDeadLetter(
  db: Queryable,
  { messageId, actor, reason }: Resolution,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `with discarded as (
       select d.id, d.resolved_by, d.resolved_reason, d.resolved_at
       from inbox.dead_letters d join inbox.entries e using (message_id, generation)
       where d.message_id = $1 and coalesce(d.resolution, '') = 'discarded' and d.pruned_at is null
         and e.status::text = 'DeadLetter' and e.pruned_at is null
       for update of d),
     letter as (
       update inbox.dead_letters d
       set resolution = null, resolved_at = null, resolved_by = null, resolved_reason = null
       from discarded
       where d.id = discarded.id
       returning d.id, d.message_id, discarded.resolved_by, discarded.resolved_reason, discarded.resolved_at)
     insert into inbox.audit (action, message_id, actor, reason, details)
     select 'restore', message_id, $2, $3, jsonb_build_object('deadLetterId', id, 'discardedBy', resolved_by,
       'discardedBecause', resolved_reason, 'discardedAt', resolved_at)
     from letter`,
    [messageId, actor, reason],
  );
  return rowCount === 1;
}
