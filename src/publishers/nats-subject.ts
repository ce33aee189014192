/**
 * Names of events as subjects and headers of NATS.
 *
 * @module
 */
import type { PublishedEvent } from '../publisher.ts';

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
