/**
 * Shared by the short examples: runs an inbox and a worker for the given commands until the example ends.
 *
 * @module
 */
import { Client } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { Pool } from 'pg';
import { createInbox, migrate } from 'temporal-inbox';
import type { CommandDefinition, Inbox } from 'temporal-inbox';
import { createInboxWorker, settingsFromEnv } from 'temporal-inbox/worker';
import type { InboxWorkerOptions } from 'temporal-inbox/worker';

export interface Scene {
  pool: Pool;
  inbox: Inbox;
  /** A Temporal client, and the worker's task queue. */
  client: Client;
  taskQueue: string;
}

/** Needs the variables DATABASE_URL and TEMPORAL_ADDRESS, which `npx inbox dev` prints. */
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
  const settings = settingsFromEnv();
  const worker = await createInboxWorker({ commands, databaseUrl, connection, settings, ...options });
  const running = worker.run();
  const inbox = await createInbox({ pool });
  try {
    await run({ pool, inbox, client: new Client({ connection }), taskQueue: settings.taskQueue });
  } finally {
    await inbox.close();
    worker.shutdown();
    await running;
    await connection.close();
    await pool.end();
  }
}
