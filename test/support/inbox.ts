/**
 * An inbox on real servers for one test file, with its own database, task queue and workers.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import type { WorkflowHandle, WorkflowStartOptions } from '@temporalio/client';
import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { Pool } from 'pg';
import type { DeadLetterHook } from '../../src/core/alert.ts';
import type { CommandDefinition } from '../../src/commands/define-command.ts';
import type { InboxSettings } from '../../src/settings.ts';
import { ALWAYS_TYPED } from '../../src/temporal/command-workflow.ts';
import type { TypedWorkflows } from '../../src/temporal/command-workflow.ts';
import { readTemporal } from '../../src/temporal/connection-config.ts';
import type { Envelope, EntryStatus, StatusReport } from '../../src/core/protocol.ts';
import { WORKFLOW_TYPE } from '../../src/core/protocol.ts';
import { findEntry } from '../../src/store/entries.ts';
import type { Entry } from '../../src/store/entries.ts';
import { terminateWorkflows } from '../../src/testing/test-namespace.ts';
import { createInboxWorker } from '../../src/worker.ts';
import type { InboxWorker } from '../../src/worker.ts';
import type { TestDatabase } from './database.ts';
import { createTestDatabase } from './database.ts';
import { createRecentLog, describeInbox } from './diagnostics.ts';
import type { RecentLog } from './diagnostics.ts';
import { rows } from './rows.ts';
import { addDiagnostics, eventually } from './wait.ts';

let quiet = false;

export interface TestInbox {
  pool: Pool;
  database: TestDatabase;
  client: Client;
  taskQueue: string;
  typedWorkflows: TypedWorkflows;
  /** Makes a message id that no other test file uses. */
  id(name: string): string;
  start(
    messageId: string,
    envelope?: Envelope,
    options?: Partial<WorkflowStartOptions>,
  ): Promise<WorkflowHandle>;
  entry(messageId: string): Promise<Entry | null>;
  /** Waits until the entry has this status, and returns it. */
  reaches(messageId: string, status: EntryStatus): Promise<Entry>;
  status(messageId: string): Promise<StatusReport>;
  startWorker(
    commands: readonly CommandDefinition[],
    settings?: Partial<InboxSettings>,
    databaseUrl?: string,
    onDeadLetter?: DeadLetterHook,
  ): Promise<TestWorker>;
  /** The last log lines of all its workers. */
  logs(): string[];
  close(): Promise<void>;
}

export interface TestWorker {
  stop(): Promise<void>;
}

/** The testing kit, which other tests of this process use, may have installed a Runtime already. */
function makeQuiet(): void {
  if (quiet) return;
  quiet = true;
  try {
    Runtime.install({ logger: new DefaultLogger('ERROR', () => {}), shutdownSignals: [] });
  } catch (error) {
    if (!(error instanceof IllegalStateError)) throw error;
  }
}

/** `address` is that of the test's own Temporal server, which the test may stop. */
export async function createTestInbox({ address }: { address?: string } = {}): Promise<TestInbox> {
  makeQuiet();
  const { connectionOptions, namespace } = readTemporal(
    address === undefined ? process.env : { ...process.env, TEMPORAL_ADDRESS: address },
  );
  const database = await createTestDatabase();
  const connection = await Connection.connect(connectionOptions);
  const client = new Client({ connection, namespace });
  const suffix = randomBytes(4).toString('hex');
  const taskQueue = `inbox-${suffix}`;
  const workers: TestWorker[] = [];
  const logs: RecentLog[] = [];
  const removeDiagnostics = addDiagnostics(() => describeInbox({ pool: database.pool, client, logs }));

  const inbox: TestInbox = {
    typedWorkflows: ALWAYS_TYPED,
    pool: database.pool,
    database,
    client,
    taskQueue,
    id: (name) => `${name}-${suffix}`,
    start: (messageId, envelope, options) =>
      client.workflow.start(WORKFLOW_TYPE, {
        taskQueue,
        workflowId: messageId,
        args: envelope === undefined ? [] : [envelope],
        ...options,
      }),
    entry: (messageId) => findEntry(database.pool, messageId),
    reaches: (messageId, status) =>
      eventually(`${messageId} is ${status}`, async () => {
        const entry = await findEntry(database.pool, messageId);
        return entry?.status === status ? entry : null;
      }),
    status: (messageId) => client.workflow.getHandle(messageId).query<StatusReport>('status'),
    async startWorker(commands, settings, databaseUrl = database.url, onDeadLetter) {
      // A new connection for each worker: the SDK refuses two workers for one task queue on one connection.
      const native = await NativeConnection.connect(connectionOptions);
      const recent = createRecentLog();
      logs.push(recent);
      const worker = await inThisThread(() =>
        createInboxWorker({
          commands,
          databaseUrl,
          connection: native,
          namespace,
          settings: { taskQueue, ...settings },
          log: recent.log,
          ...(onDeadLetter && { onDeadLetter }),
        }),
      );
      const running = runInBackground(worker, native);
      workers.push(running);
      return running;
    },
    logs: () => logs.flatMap(({ lines }) => lines),
    async close() {
      removeDiagnostics();
      await Promise.all(workers.map((worker) => worker.stop()));
      await terminateWorkflows(client, taskQueue);
      await connection.close();
      await database.drop();
    },
  };
  return inbox;
}

/**
 * Creates a worker whose workflows run in this thread. The separate thread that `inbox worker` uses takes a second of CPU
 * time to start.
 */
async function inThisThread<T>(create: () => Promise<T>): Promise<T> {
  process.env['TEMPORAL_DEBUG'] = '1';
  try {
    return await create();
  } finally {
    delete process.env['TEMPORAL_DEBUG'];
  }
}

function runInBackground(worker: InboxWorker, native: NativeConnection): TestWorker {
  const running = worker.run();
  // `stop` rejects with the error; until then it must not end the process as an unhandled rejection.
  running.catch(() => {});
  let stopped = false;
  return {
    async stop() {
      if (!stopped) worker.shutdown();
      if (stopped) return running;
      stopped = true;
      await running;
      return native.close();
    },
  };
}

/** Waits until all of these messages are Completed. */
export async function allCompleted(pool: Pool, sent: readonly { messageId: string }[]): Promise<void> {
  const ids = sent.map(({ messageId }) => messageId);
  await eventually(`${ids.length} commands are completed`, async () => {
    const sql = `select from inbox.entries where message_id = any ($1) and status = 'Completed'`;
    return (await rows(pool, sql, [ids])).length === ids.length;
  });
}

export { rows };
