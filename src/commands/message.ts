/**
 * A message, and the answer to it.
 *
 * @module
 */
import type { Json, JsonObject } from '../core/json.ts';
import type { Entry } from '../store/entries.ts';

/** A command on its way in. */
export interface Message {
  /** The sender's idempotency key: 1 to 200 bytes of UTF-8, no control characters. */
  messageId: string;
  /** The command's type, such as `TransferFunds`. */
  type: string;
  payload: Json;
  /** The whole flow this belongs to. */
  correlationId?: string | null;
  /** What directly caused it. */
  causationId?: string | null;
  metadata?: JsonObject;
}

export interface Sent {
  answer: 'accepted' | 'duplicate';
  /** As it stands now: of a duplicate the first one, with the result if it has completed. */
  entry: Entry;
}
