/**
 * A whole inbox for a test: real servers, and a worker with the test's commands.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import type { DeadLetterHook } from '../core/alert.ts';
import type { CommandDefinition } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { ConfigurationError } from '../core/errors.ts';
import type { EntryStatus } from '../core/protocol.ts';
import { withTimeout } from '../platform/deadline.ts';
import { unknownOptions } from '../platform/option-checks.ts';
import { createPool } from '../platform/postgres.ts';
import { createInbox } from '../sending/inbox.ts';
import type { TypedInbox } from '../sending/inbox-types.ts';
import type { InboxSettings } from '../settings.ts';
import { findDeadLetters } from '../store/dead-letter-reports.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import { Closers } from './closers.ts';
import { dashed, newTestName } from './test-name.ts';
import { openServers } from './test-servers.ts';
import { loadWorker, startTestWorker } from './test-worker.ts';
import { reaches, settled } from './waits.ts';
import type { Watched, WaitOptions } from './waits.ts';

export interface TestInboxOptions<Commands extends CommandDefinition> {
  /** The commands that the worker runs. */
  commands: readonly Commands[];
  /** Settings of the worker that differ from the defaults. `shutdownGraceMs` is 1 s by default. */
  settings?: Partial<Omit<InboxSettings, 'taskQueue'>>;
  /** Receives the log of the worker, of the inbox and of the handlers, for example `console`. By default nothing is logged. */
  log?: CommandLog;
  /** Called with dead letters, as in `createInboxWorker`. */
  onDeadLetter?: DeadLetterHook;
}

/** The inbox of a test, with its servers. It can also be passed to `replay` and `discard` of `temporal-inbox/operations`. */
export interface TestInbox<Commands extends CommandDefinition = CommandDefinition> {
  /** For the test's own queries and tables. `close` ends it. */
  pool: Pool;
  /** A database of its own. It contains the inbox's schema, and is dropped by `close`. */
  databaseUrl: string;
  /** A Temporal client in the worker's namespace. `close` closes it. */
  client: Client;
  taskQueue: string;
  inbox: TypedInbox<Commands>;
  send: TypedInbox<Commands>['send'];
  execute: TypedInbox<Commands>['execute'];
  /**
   * Waits until the message has this status, and returns its entry. It polls, so it may miss a status that lasts only a
   * moment.
   *
   * @throws WaitTimeoutError saying which status the message has, and its last error
   */
  reaches(messageId: string, status: EntryStatus, options?: WaitOptions): Promise<Entry>;
  /**
   * Waits until every message of a flow has ended: the message with this id and all messages with this correlation_id are
   * Completed or DeadLetter. A command that a handler sends belongs to the same flow as the handler's command.
   *
   * @returns their entries, oldest first
   * @throws WaitTimeoutError naming the messages that have not ended, with their status and their last error
   */
  settled(correlationId: string, options?: WaitOptions): Promise<Entry[]>;
  /** Returns the dead letters that were neither replayed nor discarded, oldest first. */
  deadLetters(): Promise<DeadLetter[]>;
  /**
   * Stops the worker, drops the database, and releases the servers. It may be called again. If a handler does not end, it
   * waits for that handler a few seconds at most.
   *
   * @throws the error that ended the worker early, if any
   */
  close(): Promise<void>;
}

const POOL_END_MS = 1_000;
const noop = () => {};

/** Tests make commands fail on purpose, so logging that would be noise. The entries and the errors of the waits say why. */
const SILENT: CommandLog = { debug: noop, info: noop, warn: noop, error: noop };

const OPTIONS = ['commands', 'settings', 'log', 'onDeadLetter'];
/** No test waits for the result of a handler that is still running when the test ends. */
const GRACE_MS = 1_000;

/**
 * Starts a worker for these commands, on embedded servers or on those that DATABASE_URL and TEMPORAL_ADDRESS name. Each test
 * inbox has a database, a namespace and a task queue of its own, so that tests can run at the same time and use the same
 * message ids. All processes of a test run share the embedded servers, which stop after the last process has ended.
 *
 * @throws InvalidCommandError for invalid commands; ConfigurationError for invalid options, or if a package is missing;
 *   UnreachableError if a server cannot be started or reached
 * @example
 * const test = await createTestInbox({ commands: [reserveStock, shipOrder] });
 * const { free } = await test.execute(reserveStock, { messageId: 'order-1', payload: { sku: 'tea', quantity: 2 } });
 * await test.settled('order-1');
 * await test.close();
 */
export async function createTestInbox<Commands extends CommandDefinition>(
  options: TestInboxOptions<Commands>,
): Promise<TestInbox<Commands>> {
  checkOptions(options);
  const closers = new Closers();
  try {
    return await open(options, closers);
  } catch (error) {
    await closers.close().catch(() => {});
    throw error;
  }
}

async function open<Commands extends CommandDefinition>(
  { commands, settings, log = SILENT, onDeadLetter }: TestInboxOptions<Commands>,
  closers: Closers,
): Promise<TestInbox<Commands>> {
  // First, because this needs no server.
  const loaded = await loadWorker();
  const name = newTestName();
  const taskQueue = dashed(name);
  const { databaseUrl, connectionOptions, namespace, client } = await openServers(name, closers);
  const pool = createPool({ connectionString: databaseUrl, max: 10, applicationName: 'inbox testing' });
  // If the test has not released a connection, dropping the database ends it.
  closers.add('the pool', () => withTimeout(POOL_END_MS, () => pool.end(), noop));
  const { workerError } = await startTestWorker(
    loaded,
    {
      commands,
      databaseUrl,
      namespace,
      settings: { shutdownGraceMs: GRACE_MS, ...settings, taskQueue },
      log,
      ...(onDeadLetter && { onDeadLetter }),
    },
    connectionOptions,
    closers,
  );
  const inbox = await createInbox({ pool, commands, log, directUrl: null });
  closers.add('the inbox', () => inbox.close());
  const watched: Watched = { pool, types: commands.map(({ type }) => type), workerError };
  return {
    pool,
    databaseUrl,
    client,
    taskQueue,
    inbox,
    send: inbox.send.bind(inbox),
    execute: inbox.execute.bind(inbox),
    reaches: (...args) => reaches(watched, ...args),
    settled: (...args) => settled(watched, ...args),
    deadLetters: () => openDeadLetters(pool),
    close: () => closers.close(),
  };
}

const MAX_DEAD_LETTERS = 100_000;

async function openDeadLetters(pool: Pool): Promise<DeadLetter[]> {
  const found = await findDeadLetters(pool, {}, 'open', { before: null, limit: MAX_DEAD_LETTERS });
  return found.toReversed();
}

/** Commands and settings are checked by the worker. */
function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError('createTestInbox: the options must be an object with commands');
  const { commands, settings } = options as Record<string, unknown>;
  const problems = unknownOptions(options, OPTIONS, 'createTestInbox');
  if (!Array.isArray(commands) || commands.length === 0)
    problems.push('commands must be an array with at least one command');
  if (settings !== undefined && (typeof settings !== 'object' || settings === null))
    problems.push('settings must be an object');
  else if (settings && 'taskQueue' in settings)
    problems.push('settings.taskQueue cannot be set: each test inbox has a task queue of its own');
  if (problems.length > 0) throw new ConfigurationError(`createTestInbox: ${problems.join('; ')}`);
}
