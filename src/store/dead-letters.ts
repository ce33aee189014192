/**
 * `inbox.dead_letters`: what waits for a person, and what that person did.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Json, JsonObject } from '../core/json.ts';

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
  const { rows } = await db.query<{ generation: number | null }>(
    `select inbox.replay_dead_letter($1::text, $2::text, $3::text, $4::jsonb, $5::uuid, $6::uuid, $7::jsonb) as generation`,
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
  return rows[0]!.generation;
}

/** Gives an open dead letter up for good; the entry stays DeadLetter. False when none is open, or not the one that is meant. */
export async function discardDeadLetter(
  db: Queryable,
  { messageId, actor, reason, deadLetterId }: Resolution,
): Promise<boolean> {
  const { rows } = await db.query<{ done: boolean }>(
    'select inbox.discard_dead_letter($1::text, $2::text, $3::text, $4::uuid) as done',
    [messageId, actor, reason, deadLetterId],
  );
  return rows[0]!.done;
}

/**
 * Opens a discarded dead letter again; the audit keeps who had discarded it, and why. False when the youngest is not a discarded
 * one, or was pruned: of many at once, one wins.
 */
export async function restoreDeadLetter(
  db: Queryable,
  { messageId, actor, reason }: Resolution,
): Promise<boolean> {
  const { rows } = await db.query<{ done: boolean }>(
    'select inbox.restore_dead_letter($1::text, $2::text, $3::text) as done',
    [messageId, actor, reason],
  );
  return rows[0]!.done;
}
