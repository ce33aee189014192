/**
 * What the short examples share: an inbox and a worker for the given commands, until the example has ended.
 *
 * @module
 */
import { Client } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { Pool } from 'pg';
import { createInbox, createInboxWorker, DEFAULT_TASK_QUEUE, migrate } from 'temporal-inbox';
import type { CommandDefinition, Inbox, InboxWorkerOptions } from 'temporal-inbox';

export interface Scene {
  pool: Pool;
  inbox: Inbox;
  /** A Temporal client, and the worker's task queue. */
  client: Client;
  taskQueue: string;
}

/** Needs DATABASE_URL and TEMPORAL_ADDRESS, as `npx inbox dev` prints them. */
export async function withWorker(
  commands: readonly CommandDefinition[],
  run: (scene: Scene) => Promise<void>,
  options: Partial<InboxWorkerOptions> = {},
): Promise<void> {
  Runtime.install({ shutdownSignals: [] });
  const databaseUrl = process.env['DATABASE_URL']!;
  const pool = new Pool({ connectionString: databaseUrl });
  await migrate(pool);
  const connection = await NativeConnection.connect({ address: process.env['TEMPORAL_ADDRESS']! });
  const worker = await createInboxWorker({ commands, databaseUrl, connection, ...options });
  const running = worker.run();
  const inbox = await createInbox({ pool });
  try {
    const taskQueue = process.env['INBOX_TASK_QUEUE'] ?? DEFAULT_TASK_QUEUE;
    await run({ pool, inbox, client: new Client({ connection }), taskQueue });
  } finally {
    await inbox.close();
    worker.shutdown();
    await running;
    await connection.close();
    await pool.end();
  }
}
