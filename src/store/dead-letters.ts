/**
 * `inbox.dead_letters`: commands that wait for an operator, and how operators resolved them.
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
  /** Also null if the dead letter was pruned. */
  payload: Json;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
  errorType: string;
  error: string;
  failureGroup: string;
  /** The details of an UnrecoverableError; null for other errors and for details over 4 KB. */
  details: JsonObject | null;
  reason: 'unrecoverable' | 'exhausted';
  retryCount: number;
  buildId: string | null;
  deadAt: Date;
  resolution: 'replayed' | 'discarded' | null;
  resolvedAt: Date | null;
  resolvedBy: string | null;
  resolvedReason: string | null;
  /** When retention removed the payload and metadata. Only discarded dead letters are pruned; replayed ones are deleted. */
  prunedAt: Date | null;
}

export const DEAD_LETTER_COLUMNS = `
  id, message_id as "messageId", generation, command_type as "commandType", payload,
  correlation_id as "correlationId", causation_id as "causationId", metadata, error_type as "errorType", error,
  failure_group as "failureGroup", details, reason, retry_count as "retryCount", build_id as "buildId", dead_at as "deadAt",
  resolution, resolved_at as "resolvedAt", resolved_by as "resolvedBy", resolved_reason as "resolvedReason",
  pruned_at as "prunedAt"`;

/** All dead letters of a message, oldest first: one for each generation that became a dead letter. */
export async function listDeadLetters(db: Queryable, messageId: string): Promise<DeadLetter[]> {
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters where message_id = $1 order by generation`,
    [messageId],
  );
  return rows;
}

export async function findDeadLetter(db: Queryable, id: string): Promise<DeadLetter | null> {
  const { rows } = await db.query<DeadLetter>(
    `select ${DEAD_LETTER_COLUMNS} from inbox.dead_letters where id = $1`,
    [id],
  );
  return rows[0] ?? null;
}

/** The newest dead letter of a message, open or resolved. */
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
  /** The id of the dead letter to resolve; null for the open one of the message. */
  deadLetterId: string | null;
}

export interface Replay extends Resolution {
  /** Replaces the entry's payload. */
  payload: Json | undefined;
  /**
   * Where the two payloads differ, for the audit; null if no payload is given. Never contains the old values: the audit
   * is kept forever, payloads are not.
   */
  changed: string[] | null;
  /** The campaign that this replay is part of: its item is marked as replayed. */
  campaign: string | null;
}

/**
 * Replays an open dead letter. One statement resolves it, sets the entry back to Pending in its next generation and adds
 * an audit line. A new payload replaces the entry's. The dead letter keeps the old payload, and the fingerprint remains
 * that of the sent message, so the sender's repeats are still duplicates.
 *
 * The statement also sets `relayed_at`: the workflow that asked for the replay runs the next attempt, so no relay needs
 * to start one.
 *
 * @returns the new generation; null if no dead letter is open, or the open one is not the requested one. Of several
 *   concurrent replays, one succeeds
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

/**
 * Discards an open dead letter; the entry stays DeadLetter. Returns false if none is open, or the open one is not the
 * requested one.
 */
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
 * Reopens a discarded dead letter; the audit keeps who discarded it, and why. Returns false if the newest dead letter is
 * not discarded or was pruned. Of several concurrent calls, one succeeds.
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
