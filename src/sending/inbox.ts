/**
 * The inbox for senders: send, execute and status.
 *
 * @module
 */
import { checkContract, isContract } from '../commands/contract.ts';
import type { CommandContract } from '../commands/contract.ts';
import { readDirectUrl } from '../platform/postgres-url.ts';
import { withSendSettings, withTransaction } from '../platform/postgres.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import {
  DeadLetterError,
  InboxClosedError,
  InvalidCommandError,
  InvalidMessageError,
  ResultPrunedError,
  ResultTimeoutError,
} from '../core/errors.ts';
import {
  checkCallOptions,
  checkInboxOptions,
  checkPoolOpen,
  checkTimeout,
  inCallersTransaction,
} from './inbox-options.ts';
import type { Json } from '../core/json.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { chooseLog } from '../platform/pino-log.ts';
import { tracedSend, tracedSends } from '../telemetry/traced-send.ts';
import { checkSchema } from '../store/migrate.ts';
import type { MessageFor, Sent } from '../commands/message.ts';
import { parseResult } from '../commands/parse-result.ts';
import { SendBatcher } from './send-batcher.ts';
import { SendsInProgress } from './sends-in-progress.ts';
import {
  checkMessage,
  checkMessages,
  commandOf,
  parseMessage,
  sendEntries,
  sendMessages,
  toMessage,
} from './accept-messages.ts';
import type { OutgoingMessage } from './accept-messages.ts';
import { ResultWaiter } from './result-waiter.ts';
import { identifyDatabase } from '../store/sessions.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import type { Queryable } from '../platform/queryable.ts';
import { findOwnEntry, findSettledEntries } from '../store/inserts.ts';
import type { SettledEntry } from '../store/inserts.ts';
import type { SqlClient } from '../core/sql-client.ts';
import type { ExecuteOptions, InboxOptions, SendOptions, TypedInbox } from './inbox-types.ts';
import { WorkerNotifier } from './worker-notifier.ts';

const DEFAULT_EXECUTE_TIMEOUT_MS = 30_000;

/**
 * Creates an inbox for senders, and checks the schema of its database.
 *
 * @throws SchemaError if the database lacks the inbox's schema; InvalidCommandError for something that is not a command;
 *   ConfigurationError naming every invalid option
 * @example
 * const inbox = await createInbox({ pool });
 * await inbox.send(transferFunds, { messageId, payload }, { tx });
 */
export async function createInbox<Commands extends CommandContract = CommandContract>(
  options: InboxOptions<Commands>,
): Promise<TypedInbox<Commands>> {
  checkInboxOptions({ ...options });
  const { pool, commands = [], maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES } = options;
  const log = chooseLog(options);
  const known = checkCommands(commands);
  await checkSchema(pool);
  const db = await withSendSettings(pool);
  const { directUrl = readDirectUrl() } = options;
  const resultWaiter = new ResultWaiter(pool, db, log, directUrl);
  const database = await identifyDatabase(db);
  const workerNotifier = new WorkerNotifier(db, database, log);

  const sendsInProgress = new SendsInProgress();
  const batcher = new SendBatcher(db, database, () => workerNotifier.notifyWorkers());

  async function sendAll(messages: readonly OutgoingMessage[], tx: SqlClient | undefined): Promise<Sent[]> {
    if (tx) {
      return inCallersTransaction(tx, (callersTx) =>
        sendMessages(callersTx, messages, maxPayloadBytes, 'caller'),
      );
    }
    checkPoolOpen(pool);
    const entries = await checkMessages(messages, maxPayloadBytes);
    if (entries.length === 0) return [];
    const sent = await tracedSends(entries, (traced) =>
      withTransaction(pool, (ownTx) => sendEntries(ownTx, traced)),
    );
    // The NOTIFY of this transaction arrives later.
    wakeLocalWorkers(database);
    return sent;
  }

  async function sendAlone(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    checkPoolOpen(pool);
    return tracedSend(entry, (traced) => batcher.send(traced, replyTo));
  }

  async function sendOne(message: OutgoingMessage, { tx }: SendOptions): Promise<Sent> {
    // A message by name is read at once: its sender may change it afterwards.
    if (!tx && !commandOf(message)) return sendAlone(parseMessage(message, maxPayloadBytes), null);
    if (!tx) return sendAlone(await checkMessage(message, maxPayloadBytes), null);
    const [sent] = await sendAll([message], tx);
    return sent!;
  }

  async function send(...args: unknown[]): Promise<Sent | Sent[]> {
    const { input, options: choices } = readArguments<SendOptions>(args, ['tx']);
    return sendsInProgress.run<Sent | Sent[]>(async () =>
      isList(input) ? sendAll(input, choices.tx) : sendOne(input, choices),
    );
  }

  async function sendMany(messages: readonly OutgoingMessage[], choices?: SendOptions): Promise<Sent[]> {
    if (!Array.isArray(messages)) throw new InvalidMessageError('the messages', 'must be an array');
    const { tx } = checkCallOptions(choices, ['tx']) as SendOptions;
    return sendsInProgress.run(() => sendAll(messages, tx));
  }

  async function execute(...args: unknown[]): Promise<unknown> {
    const { input, options: choices } = readArguments<ExecuteOptions>(args, EXECUTE_OPTIONS);
    const { timeoutMs = DEFAULT_EXECUTE_TIMEOUT_MS, ...wait } = choices;
    sendsInProgress.checkOpen();
    checkTimeout(timeoutMs);
    wait.signal?.throwIfAborted();
    if (isList(input)) throw new InvalidMessageError('the message', 'must be a single message, not a list');
    const bound = commandOf(input);
    const command = bound ?? known.get(input?.type);
    const entry = bound ? await checkMessage(input, maxPayloadBytes) : parseMessage(input, maxPayloadBytes);
    const { result, isPruned } = await executeEntry(entry, { timeoutMs, ...wait });
    if (!command) return result;
    if (isPruned) throw new ResultPrunedError(entry.messageId);
    return parseResult(command, entry.messageId, result);
  }

  async function executeEntry(
    entry: NewEntry,
    { timeoutMs, signal, onSent }: ExecuteOptions & { timeoutMs: number },
  ): Promise<{ result: Json; isPruned: boolean }> {
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
      onSent?.(sent);
      resultWaiter.sent(sent.entry);
      const result = resultOf((await readSettled(db, sent.entry)) ?? (await settled));
      return { result, isPruned: sent.entry.status === 'Completed' && sent.entry.prunedAt !== null };
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

  const inbox = {
    send,
    sendMany,
    execute,
    status: async (messageId: string) => findOwnEntry(db, checkMessageId(messageId)),
    close: () => (closing ??= end()),
  };
  // The implementation checks at run time what the interface checks at compile time.
  return inbox as unknown as TypedInbox<Commands>;
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

/** The arguments of send and execute: a command and its message, a message by name, or a list; and then the options. */
function readArguments<Options>(
  [first, second, third]: unknown[],
  names: readonly string[],
): {
  input: OutgoingMessage | readonly OutgoingMessage[];
  options: Partial<Options>;
} {
  const hasCommand = isContract(first);
  const input = hasCommand ? toMessage(first, second as MessageFor<CommandContract>) : first;
  const options = checkCallOptions(hasCommand ? third : second, names) as Partial<Options>;
  return { input: input as OutgoingMessage | readonly OutgoingMessage[], options };
}

const EXECUTE_OPTIONS = ['timeoutMs', 'signal', 'onSent'];

function isList(input: OutgoingMessage | readonly OutgoingMessage[]): input is readonly OutgoingMessage[] {
  return Array.isArray(input);
}

/** @throws InvalidCommandError for something that is not a command, or a type that is declared twice */
function checkCommands(commands: readonly CommandContract[]): Map<string, CommandContract> {
  const known = new Map<string, CommandContract>();
  for (const command of commands) {
    checkContract(command);
    if (known.has(command.type)) throw new InvalidCommandError(command.type, 'is declared twice');
    known.set(command.type, command);
  }
  return known;
}

/** Returns null if the entry is not settled yet. */
async function readSettled(db: Queryable, entry: Entry): Promise<SettledEntry | null> {
  const { messageId, status, result } = entry;
  if (status === 'Completed')
    return { messageId, status, result, error: null, errorType: null, failureGroup: null, details: null };
  if (status !== 'DeadLetter') return null;
  const [settled] = await findSettledEntries(db, [entry.id]);
  return settled ?? null;
}

function resultOf({ messageId, status, result, ...failure }: SettledEntry): Json {
  if (status === 'Completed') return result;
  const { error, errorType, failureGroup, details } = failure;
  throw new DeadLetterError(messageId, {
    error: error ?? '',
    errorType: errorType ?? '',
    failureGroup: failureGroup ?? '',
    details,
  });
}
