/**
 * Lists, releases and skips parked events, which the broker rejects. Only needs Postgres.
 *
 * @module
 */
import type { Pool } from 'pg';
import { z } from 'zod';
import { InvalidMessageError, UnknownEventError } from '../core/errors.ts';
import type { OperatorNote } from '../core/protocol.ts';
import { listParkedEvents, releaseParkedEvents, skipParkedEvent } from '../store/outbox-reports.ts';
import type { EventNote, ParkedEvent } from '../store/outbox-reports.ts';
import { isUuid } from '../core/text.ts';

export type { ParkedEvent } from '../store/outbox-reports.ts';

const note = z.object({
  actor: z.string().min(1).max(200),
  reason: z.string().max(2_000).nullable(),
});

/** Lists parked events, longest parked first. */
export function parkedEvents(pool: Pool, limit = 100): Promise<ParkedEvent[]> {
  return listParkedEvents(pool, limit);
}

/**
 * Releases a parked event: publishing it is retried now.
 *
 * @throws UnknownEventError when the event is not parked
 */
export async function releaseEvent(
  pool: Pool,
  eventId: string,
  operatorNote: OperatorNote = {},
): Promise<void> {
  const checked = check(operatorNote);
  const released = isUuid(eventId) ? await releaseParkedEvents(pool, [eventId], checked) : [];
  if (released.length === 0) throw new UnknownEventError(eventId, 'is not parked');
}

/** Releases all parked events, and returns their ids. */
export function releaseAllEvents(pool: Pool, operatorNote: OperatorNote = {}): Promise<string[]> {
  return releaseParkedEvents(pool, null, check(operatorNote));
}

/**
 * Skips a parked event: it is never published, and the next event of its aggregate is tried. The audit records the actor and
 * the reason.
 *
 * @throws UnknownEventError when the event is not parked; InvalidMessageError when there is no reason
 */
export async function skipEvent(
  pool: Pool,
  eventId: string,
  operatorNote: OperatorNote & { reason: string },
): Promise<void> {
  const checked = check(operatorNote);
  if (!checked.reason?.trim())
    throw new InvalidMessageError('reason', 'is missing: say why the event is skipped');
  const skipped = isUuid(eventId) ? await skipParkedEvent(pool, eventId, checked) : null;
  if (!skipped) throw new UnknownEventError(eventId, 'is not parked; nothing was changed');
  if (!skipped.audited) {
    throw new UnknownEventError(
      eventId,
      'belongs to a command that is no longer in inbox.entries, so skipping it cannot be audited; nothing was changed',
    );
  }
}

function check({ actor = 'operations', reason }: OperatorNote): EventNote {
  const parsed = note.safeParse({ actor, reason: reason ?? null });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InvalidMessageError(issue.path.join('.'), issue.message);
}
