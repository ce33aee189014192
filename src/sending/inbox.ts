/**
 * The inbox as a sender sees it.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandDefinition } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { readDirectUrl } from '../platform/postgres-url.ts';
import { adopt, withTransaction } from '../platform/postgres.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { DeadLetterError, InboxClosedError, ResultTimeoutError } from '../core/errors.ts';
import { checkInboxOptions, checkPoolOpen, checkTimeout, inCallersTransaction } from './inbox-options.ts';
import type { Json } from '../core/json.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { createLog } from '../platform/log.ts';
import { checkSchema } from '../store/migrate.ts';
import { createRegistry } from '../commands/registry.ts';
import type { Message, Sent } from '../commands/message.ts';
import { SendGroup } from './send-batcher.ts';
import { SendsUnderWay } from './sends-in-progress.ts';
import { parseMessage, sendMessages } from './accept-messages.ts';
import { Settlements } from './result-waiter.ts';
import { identifyDatabase } from '../store/sessions.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import { findOwnEntry } from '../store/inserts.ts';
import type { SettledEntry, SqlClient } from '../store/inserts.ts';
import { WakeUpCall } from './worker-notifier.ts';

export interface InboxOptions {
  /** To the database with the inbox's schema. The caller closes it, after {@link Inbox.close}. */
  pool: Pool;
  /**
   * The same database without a pooler in transaction mode, for LISTEN, which {@link Inbox.execute} uses. Default
   * INBOX_DIRECT_URL; null for none, then a connection is made like those of the pool.
   */
  directUrl?: string | null;
  /** The commands this service knows; only their settings are checked. Handlers run in workers. */
  commands?: readonly CommandDefinition[];
  /** Limit of a payload, in bytes of its jsonb's text. Default and maximum 1 MiB. */
  maxPayloadBytes?: number;
  log?: CommandLog;
}

export interface SendOptions {
  /**
   * The transaction that the command stands or falls with: any client with a `query(text, values)` like that of `pg`.
   * Without it the messages are sent in a transaction of their own, all or none.
   */
  tx?: SqlClient;
}

export interface ExecuteOptions {
  /**
   * How long to wait, in ms: for Postgres to accept the command and for its result. Default 30 s. The command goes on when the
   * wait has ended.
   */
  timeoutMs?: number;
  /** Ends the wait, also while the command is being sent. It may have been accepted then. */
  signal?: AbortSignal;
}

export interface Inbox {
  /**
   * Accepts a command, once for each message_id; a worker's relay starts it after the COMMIT.
   *
   * @throws InvalidMessageError, IdempotencyConflictError, MessageLockedError; roll the transaction back then. UnusableTransactionError when `tx` is
   *   a pool or an aborted transaction, InboxClosedError after {@link close}
   */
  send(message: Message, options?: SendOptions): Promise<Sent>;
  send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  /**
   * Sends, and waits for the handler's result. A duplicate is answered with the result of the first.
   *
   * @throws DeadLetterError when the command became a dead letter; ResultTimeoutError, the signal's reason or InboxClosedError
   *   when the wait ended first; ConfigurationError for a timeout that is none; what {@link send} throws
   */
  execute(message: Message, options?: ExecuteOptions): Promise<Json>;
  /**
   * The entry, or null where none has this id. A login that may not read the table `inbox.entries` sees what it has sent itself,
   * and what has the prefix that `inbox.sender_limits` names for it.
   */
  status(messageId: string): Promise<Entry | null>;
  /**
   * Ends the waits of {@link execute} at once, lets sends that are under way finish, and refuses new ones. The pool stays open.
   * Calling it again does nothing more.
   */
  close(): Promise<void>;
}

const DEFAULT_EXECUTE_TIMEOUT_MS = 30_000;

/**
 * @throws SchemaError when the database lacks the inbox's schema, InvalidCommandError for invalid commands,
 *   ConfigurationError naming each option that is wrong
 * @example
 * const inbox = await createInbox({ pool });
 * await inbox.send({ messageId, type: 'TransferFunds', payload }, { tx });
 */
export async function createInbox(options: InboxOptions): Promise<Inbox> {
  checkInboxOptions({ ...options });
  const { pool, commands = [], maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog() } = options;
  createRegistry(commands);
  await checkSchema(pool);
  const db = await adopt(pool);
  const { directUrl = readDirectUrl() } = options;
  const settlements = new Settlements(pool, db, log, directUrl);
  const database = await identifyDatabase(db);
  const wakeUpCall = new WakeUpCall(db, database, log);

  const underWay = new SendsUnderWay();
  const group = new SendGroup(db, database, () => wakeUpCall.make());

  async function sendAll(messages: readonly Message[], tx: SqlClient | undefined): Promise<Sent[]> {
    if (tx) {
      const send = (theirs: SqlClient) => sendMessages(theirs, messages, maxPayloadBytes, 'caller');
      return inCallersTransaction(tx, send);
    }
    checkPoolOpen(pool);
    const sent = await withTransaction(pool, (own) => sendMessages(own, messages, maxPayloadBytes));
    // Its NOTIFY comes later.
    wakeLocalWorkers(database);
    return sent;
  }

  async function sendAlone(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    checkPoolOpen(pool);
    return group.send(entry, replyTo);
  }

  async function send(message: Message, options?: SendOptions): Promise<Sent>;
  async function send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  async function send(input: Message | readonly Message[], { tx }: SendOptions = {}): Promise<Sent | Sent[]> {
    return underWay.run<Sent | Sent[]>(async () => {
      if (isList(input)) return sendAll(input, tx);
      if (!tx) return sendAlone(parseMessage(input, maxPayloadBytes), null);
      const [sent] = await sendAll([input], tx);
      return sent!;
    });
  }

  async function execute(
    message: Message,
    { timeoutMs = DEFAULT_EXECUTE_TIMEOUT_MS, signal }: ExecuteOptions = {},
  ): Promise<Json> {
    underWay.checkOpen();
    checkTimeout(timeoutMs);
    signal?.throwIfAborted();
    const entry = parseMessage(message, maxPayloadBytes);
    settlements.start();
    const limit = AbortSignal.timeout(Math.ceil(timeoutMs));
    const over = new AbortController();
    const ended = AbortSignal.any([over.signal, limit, underWay.closed, ...(signal ? [signal] : [])]);
    // Before it is sent: the notification must not come first.
    const settled = settlements.wait(entry.messageId, ended);
    settled.catch(() => {});
    let accepted = false;
    try {
      const sending = underWay.run(() => sendAlone(entry, settlements.channel));
      const sent = await untilAborted(sending, ended);
      accepted = true;
      settlements.sent(sent.entry);
      return resultOf(asSettled(sent.entry) ?? (await settled));
    } catch (error) {
      if (error === limit.reason) throw new ResultTimeoutError(entry.messageId, accepted);
      throw error === underWay.closed.reason ? new InboxClosedError(entry.messageId) : error;
    } finally {
      over.abort();
    }
  }

  let closing: Promise<void> | undefined;
  async function end(): Promise<void> {
    await underWay.close();
    await Promise.all([wakeUpCall.close(), settlements.close()]);
  }

  return {
    send,
    execute,
    status: async (messageId) => findOwnEntry(db, checkMessageId(messageId)),
    close: () => (closing ??= end()),
  };
}

/** Rejects with the signal's reason if that comes first; the promise then goes on by itself. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function isList(input: Message | readonly Message[]): input is readonly Message[] {
  return Array.isArray(input);
}

function asSettled(entry: Entry): SettledEntry | null {
  const { status } = entry;
  return status === 'Completed' || status === 'DeadLetter' ? { ...entry, status } : null;
}

function resultOf(settled: SettledEntry): Json {
  if (settled.status === 'DeadLetter') throw new DeadLetterError(settled.messageId, settled.error ?? '');
  return settled.result;
}
