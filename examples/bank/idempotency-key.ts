/**
 * The `Idempotency-Key` header, and what becomes of it: a message_id and a path.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07.
 *
 * @module
 */
import { Problem } from './problem.ts';

/** Keeps the API's keys apart from the message_ids of other senders. */
const PREFIX = 'transfer-';
/** A message_id has 200 bytes; a key is ASCII, so its characters are bytes. */
export const MAX_KEY_LENGTH = 200 - PREFIX.length;

/** The draft's form, a string of RFC 8941 with `\"` and `\\` inside. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;

/**
 * The key, without the quotes that the draft asks for and half of all clients leave out: `"k"` and `k` are one key.
 *
 * @throws Problem
 */
export function parseKey(header: string | undefined): string {
  if (header === undefined || header === '') {
    throw new Problem(
      400,
      'idempotency-key-missing',
      'POST /transfers needs an Idempotency-Key header: a new UUID for each transfer, the same one for each repeat of it',
    );
  }
  const quoted = header.startsWith('"');
  const key = quoted ? QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') : header;
  if (key === undefined || !isUsable(key)) {
    throw new Problem(
      400,
      'idempotency-key-invalid',
      `the Idempotency-Key must be one key of 1 to ${MAX_KEY_LENGTH} visible ASCII characters, such as a UUID`,
    );
  }
  return key;
}

/** Two equal headers come as `k, k`: the space shows. A path of dots is another path before it gets here. */
function isUsable(key: string): boolean {
  return /^[!-~]+$/.test(key) && key.length <= MAX_KEY_LENGTH && key !== '.' && key !== '..';
}

export function messageIdOf(key: string): string {
  return `${PREFIX}${key}`;
}

/** Of a transfer: the `Location` of its status. */
export function pathOf(key: string): string {
  return `/transfers/${encodeURIComponent(key)}`;
}

/** Back from {@link pathOf}; null where it is the path of no transfer. */
export function keyOfPath(path: string): string | null {
  const segment = /^\/transfers\/([^/]+)$/.exec(path)?.[1];
  try {
    const key = decodeURIComponent(segment ?? '');
    return isUsable(key) ? key : null;
  } catch {
    // A percent sign that begins no character.
    return null;
  }
}
