/**
 * A message, and the answer to a send.
 *
 * @module
 */
import type { Json, JsonObject } from '../core/json.ts';
import type { Entry } from '../store/entries.ts';

/** A command to send. */
export interface Message {
  /** The sender's idempotency key: 1 to 200 bytes of UTF-8, no control characters. */
  messageId: string;
  /** The command's type, such as `TransferFunds`. */
  type: string;
  payload: Json;
  /** The flow that this message belongs to. */
  correlationId?: string | null;
  /** The direct parent: what caused this message. */
  causationId?: string | null;
  metadata?: JsonObject;
}

export interface Sent {
  answer: 'accepted' | 'duplicate';
  /** The stored entry. For a duplicate: the entry of the first message, with the result if it has completed. */
  entry: Entry;
}
