/**
 * Encodes event names as NATS subjects and headers.
 *
 * @module
 */
import type { PublishedEvent } from '../../core/published-event.ts';

/** The subject is part of a protocol line of at most 4 KB; the server closes the connection for a longer line. */
const MAX_TOKEN_LENGTH = 200;

/** `inbox.<aggregatetype>.<type>`. */
export function defaultSubject(event: PublishedEvent): string {
  return `inbox.${subjectToken(event.aggregateType)}.${subjectToken(event.type)}`;
}

/**
 * Encodes a name as one token of a subject. Ordinary names stay as they are. Token separators, wildcards and non-ASCII
 * characters are percent-encoded, so that different names get different tokens.
 */
export function subjectToken(name: string): string {
  const encoded = encodeURIComponent(name).replace(/[.*!'()~]/g, percent);
  return encoded.slice(0, MAX_TOKEN_LENGTH) || '_';
}

/** Half of the 4 KB that the server accepts in one line: the line also holds the reply subject. */
const MAX_SUBJECT_BYTES = 2_048;

/** Returns why no message can be published to this subject; null if the subject is valid. */
export function subjectProblem(subject: string): string | null {
  if (typeof subject !== 'string') return 'its subject is not a string';
  const bytes = Buffer.byteLength(subject);
  if (bytes > MAX_SUBJECT_BYTES)
    return `its subject is ${bytes} bytes long; the limit is ${MAX_SUBJECT_BYTES}`;
  if (/[\s\p{Cc}]/u.test(subject))
    return 'its subject has whitespace or a control character; use subjectToken';
  const wrong = subject.split('.').some((token) => token === '' || token === '*' || token === '>');
  return wrong ? 'its subject has an empty token or a wildcard; use subjectToken' : null;
}

/**
 * Percent-encodes everything that is not printable ASCII, as CloudEvents does in HTTP: a line break would end the header.
 * Decode with `decodeURIComponent`.
 */
export function headerValue(value: string): string {
  return value.replace(/[^\x21-\x24\x26-\x7e]+/gu, encodeURIComponent);
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
