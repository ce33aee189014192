/**
 * What operators do about events that the publisher rejects.
 *
 * @module
 */
import type { Pool } from 'pg';
import { UnknownEventError } from '../errors.ts';
import type { OperatorNote } from '../protocol.ts';
import { listParked, releaseParked, skipParked } from '../store/outbox-parked.ts';
import type { OutboxNote, ParkedReport } from '../store/outbox-parked.ts';
import { isUuid } from '../text.ts';

export type { ParkedReport } from '../store/outbox-parked.ts';

const DEFAULT_ACTOR = 'operations';

/** Rejected events, each with how many wait behind it; at most `limit`, default 100. */
export function parkedEvents(pool: Pool, { limit = 100 }: { limit?: number } = {}): Promise<ParkedReport[]> {
  return listParked(pool, limit);
}

/**
 * Has rejected events published again at once, instead of when their backoff ends.
 *
 * @param eventId - of the rejected event; null for all
 * @returns the ids of the events that are tried again
 * @throws UnknownEventError when the event is not a rejected one
 */
export async function releaseEvents(
  pool: Pool,
  eventId: string | null,
  note: OperatorNote = {},
): Promise<string[]> {
  if (eventId !== null && !isUuid(eventId)) throw new UnknownEventError(eventId);
  const released = await releaseParked(pool, eventId, noteOf(note));
  if (eventId !== null && released.length === 0) throw new UnknownEventError(eventId);
  return released;
}

/**
 * Leaves a rejected event out for good; the events behind it go on. Its row stays, marked as skipped.
 *
 * @throws UnknownEventError when the event is not a rejected one
 */
export async function skipEvent(pool: Pool, eventId: string, note: OperatorNote = {}): Promise<void> {
  if (!isUuid(eventId) || !(await skipParked(pool, eventId, noteOf(note))))
    throw new UnknownEventError(eventId);
}

function noteOf({ actor, reason }: OperatorNote): OutboxNote {
  return { actor: actor || DEFAULT_ACTOR, reason: reason || null };
}
