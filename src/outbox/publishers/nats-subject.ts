/**
 * Names of events as subjects and headers of NATS.
 *
 * @module
 */
import type { PublishedEvent } from '../../core/published-event.ts';

/** A subject stands in a line of 4 KB at most, and a longer line ends the connection. */
const MAX_TOKEN_LENGTH = 200;

/** `inbox.<aggregatetype>.<type>`. */
export function defaultSubject(event: PublishedEvent): string {
  return `inbox.${subjectToken(event.aggregateType)}.${subjectToken(event.type)}`;
}

/**
 * One token of a subject: ordinary names stay as they are; what separates tokens, matches any, or is no ASCII is
 * percent-encoded, so that two names do not become one.
 */
export function subjectToken(name: string): string {
  const encoded = encodeURIComponent(name).replace(/[.*!'()~]/g, percent);
  return encoded.slice(0, MAX_TOKEN_LENGTH) || '_';
}

/** The server closes the connection for a line of more than 4 KB, which also holds the subject for the answer. */
const MAX_SUBJECT_BYTES = 2_048;

/** Why no message can be published to this subject; null when one can. */
export function subjectProblem(subject: string): string | null {
  if (typeof subject !== 'string') return 'its subject is not text';
  const bytes = Buffer.byteLength(subject);
  if (bytes > MAX_SUBJECT_BYTES)
    return `its subject is ${bytes} bytes long; the limit is ${MAX_SUBJECT_BYTES}`;
  if (/[\s\p{Cc}]/u.test(subject)) return 'its subject has a space or a control character; use subjectToken';
  const wrong = subject.split('.').some((token) => token === '' || token === '*' || token === '>');
  return wrong ? 'its subject has an empty token or a wildcard; use subjectToken' : null;
}

/**
 * Percent-encoded where it is not printable ASCII, as CloudEvents does it in HTTP: a line break would end the header.
 * `decodeURIComponent` is the way back.
 */
export function headerValue(value: string): string {
  return value.replace(/[^\x21-\x24\x26-\x7e]+/gu, encodeURIComponent);
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
