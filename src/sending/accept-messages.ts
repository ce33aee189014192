/**
 * Accepts commands in the sender's own transaction, once for each message_id.
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
 * Validates the messages and stores the new ones. In a caller's transaction, they are committed or rolled back with it.
 *
 * @param transaction - whose transaction it is: see {@link insertPendingEntries}
 * @returns an answer for each message, in the same order
 * @throws InvalidMessageError before anything is stored; IdempotencyConflictError or MessageLockedError, after which the
 *   caller should roll the transaction back, because other messages of the call may have been stored in it
 */
export async function sendMessages(
  tx: SqlClient,
  messages: readonly Message[],
  maxPayloadBytes: number,
  transaction: 'own' | 'caller' = 'own',
): Promise<Sent[]> {
  const entries = messages.map((message) => parseMessage(message, maxPayloadBytes));
  if (entries.length === 0) return [];
  const accepted = byId(await insertNewEntries(tx, entries, transaction));
  const others = entries.filter(({ messageId }) => !accepted.has(messageId));
  const duplicates =
    entries.length > accepted.size ? await findDuplicates(tx, entries, others) : new Map<string, Entry>();
  return entries.map(({ messageId }) => {
    const fresh = accepted.get(messageId);
    // If one call contains a message twice, the second is a duplicate of the first.
    accepted.delete(messageId);
    if (fresh) return { answer: 'accepted', entry: fresh };
    return { answer: 'duplicate', entry: duplicates.get(messageId)! };
  });
}

/** @throws MessageLockedError if another transaction holds one of the ids for too long */
async function insertNewEntries(
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

/** @throws IdempotencyConflictError if a stored message has another command type or payload */
async function findDuplicates(
  tx: SqlClient,
  entries: readonly NewEntry[],
  others: readonly NewEntry[],
): Promise<Map<string, Entry>> {
  // Compare all of them if the call contains a message twice: the second must be compared with the first.
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

/** @throws InvalidMessageError naming the invalid field */
export function parseMessage(message: Message, maxPayloadBytes: number): NewEntry {
  if (typeof message !== 'object' || message === null) {
    throw new InvalidMessageError('the message', 'must be an object with messageId, type and payload');
  }
  const { messageId, type, ...rest } = message;
  try {
    return parseEnvelope(messageId, { ...rest, commandType: type }, maxPayloadBytes);
  } catch (error) {
    // A message calls this field `type`.
    if (error instanceof InvalidMessageError && error.field === 'commandType') {
      throw new InvalidMessageError('type', error.problem);
    }
    throw error;
  }
}

function byId<T extends Entry>(entries: readonly T[]): Map<string, T> {
  return new Map(entries.map((entry) => [entry.messageId, entry]));
}
