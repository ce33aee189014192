/**
 * Accepts commands: once for each message_id, in the sender's own transaction.
 *
 * @module
 */
import { parseEnvelope } from '../commands/message-validation.ts';
import { isLockNotAvailable } from '../platform/postgres.ts';
import { IdempotencyConflictError, InvalidMessageError, MessageLockedError } from '../core/errors.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import type { Message, Sent } from '../commands/message.ts';
import type { SqlClient } from '../store/inserts.ts';
import { findKnownMessages, insertPendingEntries, SEND_WAIT_MS } from '../store/inserts.ts';

/**
 * Checks the messages and stores those that are new. In a transaction of the caller's, everything stands or falls with it.
 *
 * @param transaction - whose it is: see {@link insertPendingEntries}
 * @returns an answer for each message, in their order
 * @throws InvalidMessageError before anything was stored; IdempotencyConflictError or MessageLockedError, after which the
 *   caller's transaction should be rolled back, because messages of the same call may have been stored in it
 */
export async function sendMessages(
  tx: SqlClient,
  messages: readonly Message[],
  maxPayloadBytes: number,
  transaction: 'own' | 'caller' = 'own',
): Promise<Sent[]> {
  const entries = messages.map((message) => parseMessage(message, maxPayloadBytes));
  if (entries.length === 0) return [];
  const accepted = byId(await insert(tx, entries, transaction));
  const others = entries.filter(({ messageId }) => !accepted.has(messageId));
  const repeated =
    entries.length > accepted.size ? await known(tx, entries, others) : new Map<string, Entry>();
  return entries.map(({ messageId }) => {
    const fresh = accepted.get(messageId);
    // The same message twice in one call: the second is a duplicate of the first.
    accepted.delete(messageId);
    if (fresh) return { answer: 'accepted', entry: fresh };
    return { answer: 'duplicate', entry: repeated.get(messageId)! };
  });
}

/** @throws MessageLockedError */
async function insert(
  tx: SqlClient,
  entries: readonly NewEntry[],
  transaction: 'own' | 'caller',
): Promise<Entry[]> {
  try {
    return await insertPendingEntries(tx, entries, transaction);
  } catch (error) {
    if (!isLockNotAvailable(error)) throw error;
    const messageIds = entries.map(({ messageId }) => messageId);
    throw new MessageLockedError(messageIds, SEND_WAIT_MS, { cause: error });
  }
}

/** @throws IdempotencyConflictError */
async function known(
  tx: SqlClient,
  entries: readonly NewEntry[],
  others: readonly NewEntry[],
): Promise<Map<string, Entry>> {
  // All of them where one call has a message twice: its second must be compared with its first.
  const compared = others.length === 0 || hasRepeats(entries) ? entries : others;
  const found = new Map<string, Entry>();
  for (const { messageId, entry } of await findKnownMessages(tx, compared)) {
    if (!entry) throw new IdempotencyConflictError(messageId);
    found.set(messageId, entry);
  }
  return found;
}

function hasRepeats(entries: readonly NewEntry[]): boolean {
  return new Set(entries.map(({ messageId }) => messageId)).size < entries.length;
}

/** @throws InvalidMessageError */
export function parseMessage(message: Message, maxPayloadBytes: number): NewEntry {
  if (typeof message !== 'object' || message === null) {
    throw new InvalidMessageError('the message', 'must be an object with messageId, type and payload');
  }
  const { messageId, type, ...rest } = message;
  try {
    return parseEnvelope(messageId, { ...rest, commandType: type }, maxPayloadBytes);
  } catch (error) {
    // The field has another name on this way in.
    if (error instanceof InvalidMessageError && error.field === 'commandType') {
      throw new InvalidMessageError('type', error.problem);
    }
    throw error;
  }
}

function byId<T extends Entry>(entries: readonly T[]): Map<string, T> {
  return new Map(entries.map((entry) => [entry.messageId, entry]));
}
