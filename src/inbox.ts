/**
 * The inbox as a sender sees it.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandDefinition, CommandLog } from './command.ts';
import { readDirectUrl } from './config.ts';
import { adopt, withTransaction } from './database.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from './envelope.ts';
import { DeadLetterError, InboxClosedError, ResultTimeoutError } from './errors.ts';
import type { Json } from './json.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { createLog } from './log.ts';
import { checkSchema } from './migrate.ts';
import { createRegistry } from './registry.ts';
import type { Message, Sent } from './send.ts';
import { SendGroup } from './send-group.ts';
import { parseMessage, sendMessages } from './send.ts';
import { Settlements } from './settlements.ts';
import { identifyDatabase } from './store/backends.ts';
import type { Entry } from './store/entries.ts';
import { findEntry } from './store/entries.ts';
import type { SettledEntry, SqlClient } from './store/send.ts';
import { WakeUpCall } from './wake-up-call.ts';

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
  /** How long to wait for the send and the result, in ms. Default 30 s. A command that was sent goes on when the wait has ended. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Inbox {
  /**
   * Accepts a command, once for each message_id; a worker's relay starts it after the COMMIT.
   *
   * @throws InvalidMessageError, IdempotencyConflictError; roll the transaction back then
   */
  send(message: Message, options?: SendOptions): Promise<Sent>;
  send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  /**
   * Sends, and waits for the handler's result. A duplicate is answered with the result of the first.
   *
   * @throws DeadLetterError when the command became a dead letter; ResultTimeoutError, or the signal's reason, when the
   *   wait ended first; what {@link send} throws
   */
  execute(message: Message, options?: ExecuteOptions): Promise<Json>;
  /** The entry, or null where none has this id. */
  status(messageId: string): Promise<Entry | null>;
  /**
   * Ends what listens; the pool stays open. An execute that still waits rejects with InboxClosedError, and so does every later
   * call that sends. May be called any number of times.
   */
  close(): Promise<void>;
}

const DEFAULT_EXECUTE_TIMEOUT_MS = 30_000;

/**
 * @throws SchemaError when the database lacks the inbox's schema, InvalidCommandError for commands that make no sense
 * @example
 * const inbox = await createInbox({ pool });
 * await inbox.send({ messageId, type: 'TransferFunds', payload }, { tx });
 */
export async function createInbox(options: InboxOptions): Promise<Inbox> {
  const { pool, commands = [], maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog() } = options;
  createRegistry(commands);
  await checkSchema(pool);
  const db = await adopt(pool);
  const { directUrl = readDirectUrl() } = options;
  const settlements = new Settlements(pool, db, log, directUrl);
  const database = await identifyDatabase(db);
  const wakeUpCall = new WakeUpCall(db, database, log);

  const group = new SendGroup(db, database, () => wakeUpCall.make());
  /** What ends the executes that still wait. */
  const waiting = new Set<AbortController>();
  let closed: InboxClosedError | null = null;

  async function sendAll(messages: readonly Message[], tx: SqlClient | undefined): Promise<Sent[]> {
    if (tx) return sendMessages(tx, messages, maxPayloadBytes, null, "caller's");
    const sent = await withTransaction(pool, (own) => sendMessages(own, messages, maxPayloadBytes));
    // Its NOTIFY comes later.
    wakeLocalWorkers(database);
    return sent;
  }

  async function sendAlone(message: Message, replyTo: string | null): Promise<Sent> {
    return group.send(parseMessage(message, maxPayloadBytes), replyTo);
  }

  async function send(message: Message, options?: SendOptions): Promise<Sent>;
  async function send(messages: readonly Message[], options?: SendOptions): Promise<Sent[]>;
  async function send(input: Message | readonly Message[], { tx }: SendOptions = {}): Promise<Sent | Sent[]> {
    if (closed) throw closed;
    if (isList(input)) return sendAll(input, tx);
    if (!tx) return sendAlone(input, null);
    const [sent] = await sendAll([input], tx);
    return sent!;
  }

  async function execute(message: Message, { timeoutMs, signal }: ExecuteOptions = {}): Promise<Json> {
    if (closed) throw closed;
    signal?.throwIfAborted();
    settlements.start();
    const limit = AbortSignal.timeout(timeoutMs ?? DEFAULT_EXECUTE_TIMEOUT_MS);
    const over = new AbortController();
    // Before it is sent: the notification must not come first.
    const ended = AbortSignal.any([over.signal, limit, ...(signal ? [signal] : [])]);
    const settled = settlements.wait(message.messageId, ended);
    settled.catch(() => {});
    waiting.add(over);
    try {
      const sending = sendAlone(message, settlements.channel);
      sending.catch(() => {});
      // The wait may end before the send has, as when a stranger's transaction holds the same message_id.
      const waitEnded = new Promise<never>((_, reject) => void settled.catch(reject));
      const { entry } = await Promise.race([sending, waitEnded]);
      return resultOf(asSettled(entry) ?? (await settled));
    } catch (error) {
      throw error === limit.reason ? new ResultTimeoutError(message.messageId) : error;
    } finally {
      waiting.delete(over);
      over.abort();
    }
  }

  return {
    send,
    execute,
    status: async (messageId) => findEntry(db, checkMessageId(messageId)),
    async close() {
      closed ??= new InboxClosedError();
      for (const over of waiting) over.abort(closed);
      await Promise.all([wakeUpCall.close(), settlements.close()]);
    },
  };
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
