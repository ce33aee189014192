/**
 * The inbox for senders: send, execute and status.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandDefinition } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { readDirectUrl } from '../platform/postgres-url.ts';
import { withSendSettings, withTransaction } from '../platform/postgres.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { DeadLetterError, InboxClosedError, ResultTimeoutError } from '../core/errors.ts';
import { checkInboxOptions, checkPoolOpen, checkTimeout, inCallersTransaction } from './inbox-options.ts';
import type { Json } from '../core/json.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { createLog } from '../platform/log.ts';
import { checkSchema } from '../store/migrate.ts';
import { createRegistry } from '../commands/registry.ts';
import type { Message, Sent } from '../commands/message.ts';
import { SendBatcher } from './send-batcher.ts';
import { SendsInProgress } from './sends-in-progress.ts';
import { parseMessage, sendMessages } from './accept-messages.ts';
import { ResultWaiter } from './result-waiter.ts';
import { identifyDatabase } from '../store/sessions.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import { findOwnEntry } from '../store/inserts.ts';
import type { SettledEntry } from '../store/inserts.ts';
import type { SqlClient } from '../core/sql-client.ts';
import { WorkerNotifier } from './worker-notifier.ts';

export interface InboxOptions {
  /** A pool for the database that contains the inbox's schema. The caller ends it, after {@link Inbox.close}. */
  pool: Pool;
  /**
   * A URL of the same database without a transaction-mode pooler, for LISTEN, which {@link Inbox.execute} uses. Default
   * INBOX_DIRECT_URL. Null for none: then LISTEN uses a connection like those of the pool.
   */
  directUrl?: string | null;
  /** The commands that this service knows. Only their settings are checked; handlers run in workers. */
  commands?: readonly CommandDefinition[];
  /** Size limit of a payload, in bytes of its jsonb's text. Default and maximum 1 MiB. */
  maxPayloadBytes?: number;
  log?: CommandLog;
}

export interface SendOptions {
  /**
   * The transaction that the command commits or rolls back with: any client with a `query(text, values)` like that of `pg`.
   * Without it, the messages are sent in a separate transaction, all or none.
   */
  tx?: SqlClient;
}

export interface ExecuteOptions {
  /**
   * How long to wait, in ms, for Postgres to accept the command and for its result. Default 30 s. The command is processed
   * even if the wait ends.
   */
  timeoutMs?: number;
  /** Ends the wait, even while the command is being sent; the command may have been accepted in that case. */
  signal?: AbortSignal;
}

export interface Inbox {
  /**
   * Accepts a command, once for each message_id. A worker's relay starts it after the COMMIT.
   *
   * @throws InvalidMessageError; IdempotencyConflictError or MessageLockedError, after which you must roll the transaction
   *   back; UnusableTransactionError if `tx` is a pool or an aborted transaction; InboxClosedError after {@link close}
   */
  send(message: Message, options?: SendOptions): Promise<Sent>;
  send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  /**
   * Sends a command and waits for the handler's result. A duplicate gets the result of the first message.
   *
   * @throws DeadLetterError if the command became a dead letter; ResultTimeoutError, the signal's reason or InboxClosedError
   *   if the wait ended first; ConfigurationError for an invalid timeout; everything that {@link send} throws
   */
  execute(message: Message, options?: ExecuteOptions): Promise<Json>;
  /**
   * Returns the entry, or null if none has this id. A login that may not read the table `inbox.entries` sees the messages
   * that it sent itself, and those with the prefix that `inbox.sender_limits` gives it.
   */
  status(messageId: string): Promise<Entry | null>;
  /**
   * Ends the waits of {@link execute} at once, lets the sends in progress finish, and refuses new ones. The pool stays open.
   * Further calls have no effect.
   */
  close(): Promise<void>;
}

const DEFAULT_EXECUTE_TIMEOUT_MS = 30_000;

/**
 * Creates an inbox for senders, and checks the schema of its database.
 *
 * @throws SchemaError if the database lacks the inbox's schema; InvalidCommandError for invalid commands;
 *   ConfigurationError naming every invalid option
 * @example
 * const inbox = await createInbox({ pool });
 * await inbox.send({ messageId, type: 'TransferFunds', payload }, { tx });
 */
export async function createInbox(options: InboxOptions): Promise<Inbox> {
  checkInboxOptions({ ...options });
  const { pool, commands = [], maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog() } = options;
  createRegistry(commands);
  await checkSchema(pool);
  const db = await withSendSettings(pool);
  const { directUrl = readDirectUrl() } = options;
  const resultWaiter = new ResultWaiter(pool, db, log, directUrl);
  const database = await identifyDatabase(db);
  const workerNotifier = new WorkerNotifier(db, database, log);

  const sendsInProgress = new SendsInProgress();
  const batcher = new SendBatcher(db, database, () => workerNotifier.notifyWorkers());

  async function sendAll(messages: readonly Message[], tx: SqlClient | undefined): Promise<Sent[]> {
    if (tx) {
      const send = (callersTx: SqlClient) => sendMessages(callersTx, messages, maxPayloadBytes, 'caller');
      return inCallersTransaction(tx, send);
    }
    checkPoolOpen(pool);
    const sent = await withTransaction(pool, (ownTx) => sendMessages(ownTx, messages, maxPayloadBytes));
    // The NOTIFY of this transaction arrives later.
    wakeLocalWorkers(database);
    return sent;
  }

  async function sendAlone(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    checkPoolOpen(pool);
    return batcher.send(entry, replyTo);
  }

  async function send(message: Message, options?: SendOptions): Promise<Sent>;
  async function send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  async function send(input: Message | readonly Message[], { tx }: SendOptions = {}): Promise<Sent | Sent[]> {
    return sendsInProgress.run<Sent | Sent[]>(async () => {
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
    sendsInProgress.checkOpen();
    checkTimeout(timeoutMs);
    signal?.throwIfAborted();
    const entry = parseMessage(message, maxPayloadBytes);
    resultWaiter.start();
    const limit = AbortSignal.timeout(Math.ceil(timeoutMs));
    const done = new AbortController();
    const waitEnd = AbortSignal.any([
      done.signal,
      limit,
      sendsInProgress.closed,
      ...(signal ? [signal] : []),
    ]);
    // Start waiting before the send, because the notification could arrive first.
    const settled = resultWaiter.wait(entry.messageId, waitEnd);
    settled.catch(() => {});
    let accepted = false;
    try {
      const sending = sendsInProgress.run(() => sendAlone(entry, resultWaiter.channel));
      const sent = await untilAborted(sending, waitEnd);
      accepted = true;
      resultWaiter.sent(sent.entry);
      return resultOf(asSettled(sent.entry) ?? (await settled));
    } catch (error) {
      if (error === limit.reason) throw new ResultTimeoutError(entry.messageId, accepted);
      throw error === sendsInProgress.closed.reason ? new InboxClosedError(entry.messageId) : error;
    } finally {
      done.abort();
    }
  }

  let closing: Promise<void> | undefined;
  async function end(): Promise<void> {
    await sendsInProgress.close();
    await Promise.all([workerNotifier.close(), resultWaiter.close()]);
  }

  return {
    send,
    execute,
    status: async (messageId) => findOwnEntry(db, checkMessageId(messageId)),
    close: () => (closing ??= end()),
  };
}

/** Rejects with the signal's reason if the signal is aborted first. The promise itself is not affected. */
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
