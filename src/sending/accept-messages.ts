/**
 * Accepts commands in the sender's own transaction, once for each message_id.
 *
 * @module
 */
import { isContract } from '../commands/contract.ts';
import type { CommandContract } from '../commands/contract.ts';
import { message as bind, MESSAGE_COMMAND } from '../commands/message.ts';
import type { BoundMessage, Message, MessageFor, Sent } from '../commands/message.ts';
import { parseEnvelope } from '../commands/message-validation.ts';
import { validate } from '../commands/schema.ts';
import { hasSqlState } from '../platform/error-chain.ts';
import { LOCK_NOT_AVAILABLE } from '../platform/postgres.ts';
import { IdempotencyConflictError, InvalidMessageError, MessageLockedError } from '../core/errors.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import type { SqlClient } from '../core/sql-client.ts';
import { tracedSends } from '../telemetry/traced-send.ts';
import { findKnownInCallersTransaction, insertInCallersTransaction } from '../store/callers-transaction.ts';
import { findKnownMessages, insertPendingEntries, SEND_WAIT_MS } from '../store/inserts.ts';
import type { KnownMessage } from '../store/inserts.ts';

/** The statements for a transaction: `own` ones run on a connection of the inbox. */
interface Statements {
  insert: (tx: SqlClient, entries: readonly NewEntry[]) => Promise<Entry[]>;
  findKnown: (tx: SqlClient, entries: readonly NewEntry[]) => Promise<KnownMessage[]>;
}
const STATEMENTS: Record<'own' | 'caller', Statements> = {
  own: { insert: (tx, entries) => insertPendingEntries(tx, entries), findKnown: findKnownMessages },
  caller: { insert: insertInCallersTransaction, findKnown: findKnownInCallersTransaction },
};

/** A message by name, or with its command. */
export type OutgoingMessage = Message<unknown> | BoundMessage;

/**
 * Brings the two forms of a send into one: a command and its message, or a message by name.
 *
 * @throws InvalidMessageError if the message beside a command is not an object
 */
export function toMessage(
  first: CommandContract | OutgoingMessage,
  second: MessageFor<CommandContract> | undefined,
): OutgoingMessage {
  if (!isContract(first)) return first;
  if (typeof second !== 'object' || second === null)
    throw new InvalidMessageError('the message', 'must be an object with messageId and payload');
  return bind(first, second);
}

/**
 * Validates the messages and stores the new ones. In a caller's transaction, they are committed or rolled back with it.
 *
 * @param transaction - whose transaction it is: `own` transactions run on a connection of the inbox
 * @returns an answer for each message, in the same order
 * @throws InvalidMessageError before anything is stored; IdempotencyConflictError or MessageLockedError, after which the
 *   caller should roll the transaction back, because other messages of the call may have been stored in it
 */
export async function sendMessages(
  tx: SqlClient,
  messages: readonly OutgoingMessage[],
  maxPayloadBytes: number,
  transaction: 'own' | 'caller' = 'own',
): Promise<Sent[]> {
  const entries = await checkMessages(messages, maxPayloadBytes);
  return tracedSends(entries, (traced) => sendEntries(tx, traced, transaction));
}

/**
 * Validates the messages, before a transaction begins.
 *
 * @throws InvalidMessageError naming every invalid field that was found in the first invalid message
 */
export async function checkMessages(
  messages: readonly OutgoingMessage[],
  maxPayloadBytes: number,
): Promise<NewEntry[]> {
  const entries = messages.map((message) => parseMessage(message, maxPayloadBytes));
  for (const [at, message] of messages.entries())
    if (commandOf(message)) await validatePayload(message, entries[at]!);
  return entries;
}

/** Stores what {@link checkMessages} returned. Otherwise like {@link sendMessages}. */
export async function sendEntries(
  tx: SqlClient,
  entries: readonly NewEntry[],
  transaction: 'own' | 'caller' = 'own',
): Promise<Sent[]> {
  if (entries.length === 0) return [];
  const statements = STATEMENTS[transaction];
  const accepted = byId(await insertNewEntries(tx, entries, statements));
  const others = entries.filter(({ messageId }) => !accepted.has(messageId));
  const duplicates =
    entries.length > accepted.size
      ? await findDuplicates(tx, entries, others, statements)
      : new Map<string, Entry>();
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
  { insert }: Statements,
): Promise<Entry[]> {
  try {
    return await insert(tx, entries);
  } catch (error) {
    if (!hasSqlState(error, LOCK_NOT_AVAILABLE)) throw error;
    const messageIds = entries.map(({ messageId }) => messageId);
    throw new MessageLockedError(messageIds, SEND_WAIT_MS, { cause: error });
  }
}

/** @throws IdempotencyConflictError if a stored message has another command type or payload */
async function findDuplicates(
  tx: SqlClient,
  entries: readonly NewEntry[],
  others: readonly NewEntry[],
  { findKnown }: Statements,
): Promise<Map<string, Entry>> {
  // Compare all of them if the call contains a message twice: the second must be compared with the first.
  const compared = others.length === 0 || hasRepeats(entries) ? entries : others;
  const found = new Map<string, Entry>();
  for (const { messageId, entry } of await findKnown(tx, compared)) {
    if (!entry) throw new IdempotencyConflictError(messageId);
    found.set(messageId, entry);
  }
  return found;
}

function hasRepeats(entries: readonly NewEntry[]): boolean {
  return new Set(entries.map(({ messageId }) => messageId)).size < entries.length;
}

/**
 * Validates a message, and its payload if the message carries its command.
 *
 * @throws InvalidMessageError naming every invalid field that was found
 */
export async function checkMessage(message: OutgoingMessage, maxPayloadBytes: number): Promise<NewEntry> {
  const entry = parseMessage(message, maxPayloadBytes);
  await validatePayload(message, entry);
  return entry;
}

/** Returns the command that a message carries, if any. */
export function commandOf(message: OutgoingMessage): CommandContract | undefined {
  return (message as Partial<BoundMessage>)[MESSAGE_COMMAND];
}

/** @throws InvalidMessageError naming the fields that the command's schema refuses */
async function validatePayload(message: OutgoingMessage, entry: NewEntry): Promise<void> {
  const command = commandOf(message);
  if (!command) return;
  if (command.type !== entry.commandType)
    throw new InvalidMessageError('type', `is not ${command.type}, the type of the command of this message`);
  // A copy, because a schema may change the value that it validates.
  const validated = await validate(command.schema, structuredClone(entry.payload), 'payload');
  if ('value' in validated) return;
  const [first, ...others] = validated.problems;
  const field = first?.field ?? 'payload';
  throw new InvalidMessageError(field, first?.problem ?? 'does not fit the schema of its command', others);
}

/** @throws InvalidMessageError naming the invalid field */
export function parseMessage(message: OutgoingMessage, maxPayloadBytes: number): NewEntry {
  if (typeof message !== 'object' || message === null) {
    throw new InvalidMessageError('the message', 'must be an object with messageId, type and payload');
  }
  const { messageId, type, ...rest } = message;
  try {
    const entry = parseEnvelope(messageId, { ...rest, commandType: type }, maxPayloadBytes);
    // What is validated must be what is stored, even if the caller changes its objects in between.
    return commandOf(message) ? structuredClone(entry) : entry;
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
