/**
 * The `Idempotency-Key` header, and the message_id and path derived from it.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07.
 *
 * @module
 */
import { Problem } from './problem.ts';

/** Separates the API's keys from the message_ids of other senders. */
const PREFIX = 'transfer-';
/** A message_id has at most 200 bytes. A key is ASCII, so each character is one byte. */
export const MAX_KEY_LENGTH = 200 - PREFIX.length;

/** The format in the draft: an RFC 8941 string with the escapes `\"` and `\\`. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;

/**
 * Returns the key without quotes. The draft requires quotes, but many clients omit them, so `"k"` and `k` are the same key.
 *
 * @throws Problem
 */
export function parseKey(header: string | undefined): string {
  if (header === undefined || header === '') {
    throw new Problem(
      400,
      'idempotency-key-missing',
      'POST /transfers needs an Idempotency-Key header: a new UUID for each transfer, and the same UUID when repeating a request',
    );
  }
  const quoted = header.startsWith('"');
  const key = quoted ? QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') : header;
  if (key === undefined || !isUsable(key)) {
    throw new Problem(
      400,
      'idempotency-key-invalid',
      `the Idempotency-Key must be a single key of 1 to ${MAX_KEY_LENGTH} visible ASCII characters, such as a UUID`,
    );
  }
  return key;
}

/**
 * Rejects a repeated header, which arrives as `k, k` and therefore contains a space. Rejects `.` and `..`, because clients
 * resolve them as path segments before they send the request.
 */
function isUsable(key: string): boolean {
  return /^[!-~]+$/.test(key) && key.length <= MAX_KEY_LENGTH && key !== '.' && key !== '..';
}

export function messageIdOf(key: string): string {
  return `${PREFIX}${key}`;
}

/** Returns the path of a transfer's status, for the `Location` header. */
export function pathOf(key: string): string {
  return `/transfers/${encodeURIComponent(key)}`;
}

/** The inverse of {@link pathOf}. Returns null if the path does not belong to a transfer. */
export function keyOfPath(path: string): string | null {
  const segment = /^\/transfers\/([^/]+)$/.exec(path)?.[1];
  try {
    const key = decodeURIComponent(segment ?? '');
    return isUsable(key) ? key : null;
  } catch {
    // The percent-encoding is invalid.
    return null;
  }
}
