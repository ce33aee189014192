/**
 * The system that a soak measures: one worker and one outbox relay on their own servers. They are separate processes, so
 * that their memory and files can be measured separately.
 *
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { createPool } from '../../src/platform/postgres.ts';
import { startPostgresServer } from '../../src/dev/postgres/server.ts';
import { startTemporalServer } from '../../src/dev/temporal/server.ts';
import { migrate } from '../../src/store/migrate.ts';
import { DEFAULT_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../src/core/protocol.ts';
import { reportHeapTo } from '../support/heap-reports.ts';
import { startSoakRelay } from '../support/soak-relay.ts';
import type { SoakRelay } from '../support/soak-relay.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import type { WorkerProcess } from '../support/worker-process.ts';
import { createChaosSchema } from './bank.ts';

export interface SoakSystem {
  pool: Pool;
  client: Client;
  worker: WorkerProcess;
  relay: SoakRelay;
  /** The folder in which both report their heaps. */
  heaps: string;
  stop(): Promise<void>;
}

export async function startSoakSystem(): Promise<SoakSystem> {
  const cleanups: (() => unknown)[] = [];
  const stop = async () => {
    for (const cleanUp of cleanups.toReversed()) await cleanUp();
  };
  try {
    return { ...(await start(cleanups)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param cleanups - gets the functions that release what was started; they must run from the last to the first */
async function start(cleanups: (() => unknown)[]): Promise<Omit<SoakSystem, 'stop'>> {
  const heaps = await mkdtemp(join(tmpdir(), 'temporal-inbox-soak-'));
  cleanups.push(() => rm(heaps, { recursive: true, force: true }));
  const postgres = await startPostgresServer();
  cleanups.push(() => postgres.stop());
  // In memory, because the soak does not measure the server, and with a file a slow disk would slow down the worker. The
  // server keeps the histories of ended workflows: about 3 GB after an hour with 12 commands per second.
  const temporal = await startTemporalServer({
    uiPort: null,
    searchAttributes: Object.values(SEARCH_ATTRIBUTES),
  });
  cleanups.push(() => temporal.stop());
  const pool = createPool({ connectionString: postgres.url, max: 12, applicationName: 'soak' });
  cleanups.push(() => pool.end());
  await migrate(pool);
  await createChaosSchema(pool);
  await pool.query('create table chaos.crashes (message_id text primary key)');
  const env = reportHeapTo(heaps);
  const worker = await startWorkerProcess(
    { database: { url: postgres.url }, taskQueue: DEFAULT_TASK_QUEUE },
    './chaos-commands.js',
    { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_DEBUG: '', ...env },
  );
  cleanups.push(() => worker.kill('SIGKILL'));
  const relay = startSoakRelay(postgres.url, env);
  cleanups.push(() => relay.kill());
  const connection = await Connection.connect({ address: temporal.address });
  cleanups.push(() => connection.close());
  return { pool, client: new Client({ connection }), worker, relay, heaps };
}
