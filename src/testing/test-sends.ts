/**
 * The commands that a handler sends during an attempt of `runCommand`.
 *
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { randomUUID } from 'node:crypto';
import type { Sent } from '../commands/message.ts';
import { IdempotencyConflictError } from '../core/errors.ts';
import type { Json, JsonObject } from '../core/json.ts';
import { checkMessage, parseMessage, sendMessages } from '../sending/accept-messages.ts';
import type { OutgoingMessage } from '../sending/accept-messages.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import type { SqlClient } from '../core/sql-client.ts';
import { readSends, recordSend } from '../store/test-attempt.ts';
import { asStored } from './stored-json.ts';

/** A command that the handler sent. */
export interface SentCommand {
  type: string;
  messageId: string;
  /** The stored payload: the input of the command's schema. */
  payload: Json;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
}

/**
 * If the database contains the inbox's schema, the commands are sent as in any attempt, and rolled back with the attempt.
 * Otherwise this class makes the same checks, as for an inbox without any messages.
 */
export class TestSends {
  /** In the order of the calls. */
  readonly #messages: NewEntry[] = [];
  /** The command that runs. In a real attempt, its entry would be in the inbox. */
  readonly #own: Entry;
  readonly #hasInbox: boolean;

  constructor(own: Entry, hasInbox: boolean) {
    this.#own = own;
    this.#hasInbox = hasInbox;
  }

  /** Takes the place of {@link sendMessages}. */
  readonly send = async (
    tx: SqlClient,
    messages: readonly OutgoingMessage[],
    maxPayloadBytes: number,
  ): Promise<Sent[]> => Promise.all(messages.map((message) => this.#sendOne(tx, message, maxPayloadBytes)));

  /** Returns what was sent and not rolled back by the handler, in the order of the calls. */
  async read(db: Queryable): Promise<SentCommand[]> {
    const places = await readSends(db);
    return places.sort((one, other) => one - other).map((place) => sentCommand(this.#messages[place]!));
  }

  async #sendOne(tx: SqlClient, message: OutgoingMessage, maxPayloadBytes: number): Promise<Sent> {
    // Read at once, because the handler may change its object afterwards.
    const parsed = parseMessage(message, maxPayloadBytes);
    const entry = { ...parsed, payload: asStored(parsed.payload), metadata: copyOf(parsed.metadata) };
    const place = this.#messages.push(entry) - 1;
    const db = tx as unknown as Queryable;
    if (entry.messageId === this.#own.messageId) {
      await checkMessage(message, maxPayloadBytes);
      await recordSend(db, place);
      return duplicateOf(this.#own, entry);
    }
    if (this.#hasInbox) {
      const [sent] = await sendMessages(tx, [message], maxPayloadBytes);
      await recordSend(db, place);
      return sent!;
    }
    await checkMessage(message, maxPayloadBytes);
    const before = await recordSend(db, place);
    const first = before
      .map((each) => this.#messages[each]!)
      .find(({ messageId }) => messageId === entry.messageId);
    return first ? duplicateOf(pending(first), entry) : { answer: 'accepted', entry: pending(entry) };
  }
}

/** @throws IdempotencyConflictError if the first message with this id has another type or payload */
function duplicateOf(first: Entry, { messageId, commandType, payload }: NewEntry): Sent {
  if (first.commandType !== commandType || !isDeepStrictEqual(first.payload, payload))
    throw new IdempotencyConflictError(messageId);
  return { answer: 'duplicate', entry: first };
}

function copyOf(metadata: JsonObject): JsonObject {
  return asStored(metadata) as JsonObject;
}

function sentCommand({ commandType, messageId, payload, ...others }: NewEntry): SentCommand {
  const { correlationId, causationId, metadata } = others;
  return { type: commandType, messageId, payload, correlationId, causationId, metadata };
}

function pending(message: NewEntry): Entry {
  return {
    ...message,
    id: randomUUID(),
    status: 'Pending',
    receivedAt: new Date(),
    processedAt: null,
    retryCount: 0,
    nextRetryAt: null,
    error: null,
    attempt: 0,
    generation: 0,
    result: null,
    prunedAt: null,
  };
}
