/**
 * Builds the timeline of a message from its rows, without I/O.
 *
 * @module
 */
import { payloadDifference } from './payload-diff.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import type { Failure } from '../store/failures.ts';
import type { EmittedEvent } from '../store/causation.ts';
import type { AuditLine } from '../store/reports.ts';

export interface TimelineItem {
  at: Date;
  what: 'received' | 'failed' | 'dead letter' | 'completed' | 'event' | (string & {});
  text: string;
}

export interface TimelineRows {
  entry: Entry;
  failures: readonly Failure[];
  deadLetters: readonly DeadLetter[];
  audit: readonly AuditLine[];
  events: readonly EmittedEvent[];
}

/** Returns the timeline, sorted by time. Of items with the same time, causes come before their effects. */
export function buildTimeline(rows: TimelineRows): TimelineItem[] {
  const { entry, failures, deadLetters, audit, events } = rows;
  const items: TimelineItem[] = [
    { at: entry.receivedAt, what: 'received', text: receivedText(entry) },
    ...failures.map((failure) => ({ at: failure.failedAt, what: 'failed', text: failureText(failure) })),
    ...deadLetters.map((letter) => ({
      at: letter.deadAt,
      what: 'dead letter',
      text: `${letter.reason === 'exhausted' ? `all ${letter.retryCount} attempts failed` : 'retrying cannot help'}; group ${letter.failureGroup}`,
    })),
    ...audit.map((line) => ({ at: line.at, what: line.action, text: auditText(line, rows) })),
    ...(entry.processedAt === null
      ? []
      : [{ at: entry.processedAt, what: 'completed', text: `in attempt ${entry.attempt}` }]),
    ...events.map((event) => ({ at: event.createdAt, what: 'event', text: eventText(event) })),
  ];
  // The sort is stable: rows with the same time keep the order above.
  return items.toSorted((a, b) => a.at.getTime() - b.at.getTime());
}

function receivedText({ commandType, causationId, correlationId }: Entry): string {
  const caused = causationId === null ? '' : `, caused by ${causationId}`;
  return `${commandType}${caused}${correlationId === null ? '' : `, flow ${correlationId}`}`;
}

function failureText({ attempt, error, nextRetryAt, retryable, worker, buildId }: Failure): string {
  const next =
    nextRetryAt !== null
      ? `next attempt at ${nextRetryAt.toISOString()}`
      : retryable
        ? 'no attempts left'
        : 'not retryable';
  const where = worker === null ? '' : ` on ${worker}${buildId === null ? '' : ` (${buildId})`}`;
  return `attempt ${attempt}${where}: ${error}; ${next}`;
}

function auditText({ actor, reason, details }: AuditLine, { deadLetters, entry }: TimelineRows): string {
  const done = `by ${actor}${reason === null ? '' : `: ${reason}`}`;
  const changed = details['changed'];
  if (!Array.isArray(changed)) return done;
  const letter = deadLetters.find(({ id }) => id === details['deadLetterId']);
  const next = deadLetters.find(({ generation }) => generation === (letter?.generation ?? 0) + 1) ?? entry;
  // If retention has deleted one of the two payloads, only the paths are known.
  if (!letter || letter.prunedAt !== null || next.prunedAt !== null) {
    return `${done}; payload changed: ${changed.map((path) => String(path) || 'payload').join(', ')}`;
  }
  const edits = payloadDifference(letter.payload, next.payload).map(
    ({ path, from, to }) => `${path || 'payload'} ${JSON.stringify(from)} → ${JSON.stringify(to)}`,
  );
  return `${done}; payload changed: ${edits.join(', ')}`;
}

function eventText({ type, aggregateType, aggregateId, publishedAt }: EmittedEvent): string {
  const published = publishedAt === null ? 'not published' : `published at ${publishedAt.toISOString()}`;
  return `${type} of ${aggregateType} ${aggregateId}, ${published}`;
}
