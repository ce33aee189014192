/**
 * What happened to a message, in order. Pure: from the rows to what a person reads.
 *
 * @module
 */
import { payloadDifference } from './payload-diff.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import type { Failure } from '../store/failures.ts';
import type { EmittedEvent } from '../store/causation.ts';
import type { AuditLine } from '../store/reports.ts';

export interface Happening {
  at: Date;
  what: 'received' | 'failed' | 'dead letter' | 'completed' | 'event' | (string & {});
  text: string;
}

export interface StoryRows {
  entry: Entry;
  failures: readonly Failure[];
  deadLetters: readonly DeadLetter[];
  audit: readonly AuditLine[];
  events: readonly EmittedEvent[];
}

/** By time; where times are equal, what is a cause stands before its effect. */
export function tellStory(rows: StoryRows): Happening[] {
  const { entry, failures, deadLetters, audit, events } = rows;
  const happenings: Happening[] = [
    { at: entry.receivedAt, what: 'received', text: receivedText(entry) },
    ...failures.map((failure) => ({ at: failure.failedAt, what: 'failed', text: failureText(failure) })),
    ...deadLetters.map((letter) => ({
      at: letter.deadAt,
      what: 'dead letter',
      text: `${letter.reason === 'exhausted' ? `all ${letter.retryCount} attempts failed` : 'trying again cannot help'}; group ${letter.failureGroup}`,
    })),
    ...audit.map((line) => ({ at: line.at, what: line.action, text: auditText(line, rows) })),
    ...(entry.processedAt === null
      ? []
      : [{ at: entry.processedAt, what: 'completed', text: `in attempt ${entry.attempt}` }]),
    ...events.map((event) => ({ at: event.createdAt, what: 'event', text: eventText(event) })),
  ];
  // The sort is stable: rows of one time stay in the order of above.
  return happenings.toSorted((a, b) => a.at.getTime() - b.at.getTime());
}

function receivedText({ commandType, causationId, correlationId }: Entry): string {
  const caused = causationId === null ? '' : `, caused by ${causationId}`;
  return `${commandType}${caused}${correlationId === null ? '' : `, flow ${correlationId}`}`;
}

function failureText({ attempt, error, nextRetryAt, retryable, worker, buildId }: Failure): string {
  const next =
    nextRetryAt !== null
      ? `again at ${nextRetryAt.toISOString()}`
      : retryable
        ? 'the last attempt'
        : 'not to be tried again';
  const where = worker === null ? '' : ` on ${worker}${buildId === null ? '' : ` (${buildId})`}`;
  return `attempt ${attempt}${where}: ${error}; ${next}`;
}

function auditText({ actor, reason, details }: AuditLine, { deadLetters, entry }: StoryRows): string {
  const done = `by ${actor}${reason === null ? '' : `: ${reason}`}`;
  const changed = details['changed'];
  if (!Array.isArray(changed)) return done;
  const letter = deadLetters.find(({ id }) => id === details['deadLetterId']);
  const next = deadLetters.find(({ generation }) => generation === (letter?.generation ?? 0) + 1) ?? entry;
  // Where retention has taken one of the two payloads, only the places are left.
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
