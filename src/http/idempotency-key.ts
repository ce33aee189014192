/**
 * The `Idempotency-Key` of a request, and the message_id that is derived from it.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07.
 *
 * @module
 */
import { checkMessageId, MAX_MESSAGE_ID_BYTES } from '../commands/message-validation.ts';
import { ConfigurationError, InvalidMessageError } from '../core/errors.ts';
import { problem } from './problem.ts';

/** The key is part of the Location. If `messageId` hashes the key, nothing else would limit the length of that URL. */
const MAX_KEY_LENGTH = 255;

/** The format in the draft: a string of RFC 8941 with the escapes `\"` and `\\`. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;

/**
 * Returns the key of a POST, without quotes. The draft requires quotes, but many clients omit them, so `"k"` and `k` are the
 * same key.
 *
 * @throws HttpProblem 400 if the key is missing, given twice or unusable
 */
export function readKey({ headers }: Request): string {
  const header = headers.get('idempotency-key') ?? '';
  if (header === '') {
    throw problem(
      'idempotency-key-missing',
      'a POST needs the header Idempotency-Key: a new UUID for each new request, and the same UUID when it is repeated',
    );
  }
  const key = header.startsWith('"') ? QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') : header;
  if (key === undefined || !isUsable(key)) throw invalidKey(MAX_KEY_LENGTH);
  return key;
}

function invalidKey(maxLength: number): Error {
  return problem(
    'idempotency-key-invalid',
    `the Idempotency-Key must be a single key of 1 to ${maxLength} visible ASCII characters, such as a UUID`,
  );
}

/**
 * Rejects a repeated header, which arrives as `k, k` and therefore contains a space. Rejects `.` and `..`, because clients
 * resolve them as path segments before they send a request.
 */
function isUsable(key: string): boolean {
  return /^[!-~]+$/.test(key) && key.length <= MAX_KEY_LENGTH && key !== '.' && key !== '..';
}

/** Returns the key in a segment of a path, or null if it cannot be one. */
export function keyOfSegment(segment: string): string | null {
  try {
    const key = decodeURIComponent(segment);
    return isUsable(key) ? key : null;
  } catch {
    // The percent-encoding is invalid.
    return null;
  }
}

/**
 * Checks what the option `messageId` returned for a key.
 *
 * @throws HttpProblem 400 if the key makes it too long; ConfigurationError if it is invalid for another reason
 */
export function checkDerivedId(messageId: unknown, key: string): string {
  if (isTooLong(messageId, key)) throw invalidKey(key.length - excessOf(messageId));
  try {
    return checkMessageId(messageId);
  } catch (error) {
    if (!(error instanceof InvalidMessageError)) throw error;
    throw new ConfigurationError(`the message_id that messageId returned ${error.problem}`, { cause: error });
  }
}

/** Returns true if a shorter key would make the message_id short enough. A key is ASCII: each character is one byte. */
export function isTooLong(messageId: unknown, key: string): boolean {
  const excess = excessOf(messageId);
  return excess > 0 && excess < key.length;
}

const excessOf = (messageId: unknown) => Buffer.byteLength(String(messageId)) - MAX_MESSAGE_ID_BYTES;
