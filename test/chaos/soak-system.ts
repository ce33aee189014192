/**
 * What a soak looks at: one worker and one outbox relay, each a process of its own so that their memory and files can be
 * told apart, on servers of their own.
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
  /** Where both report their heaps. */
  heaps: string;
  stop(): Promise<void>;
}

export async function startSoakSystem(): Promise<SoakSystem> {
  const closes: (() => unknown)[] = [];
  const stop = async () => {
    for (const close of closes.toReversed()) await close();
  };
  try {
    return { ...(await start(closes)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param closes - what has to be undone, from the last to the first */
async function start(closes: (() => unknown)[]): Promise<Omit<SoakSystem, 'stop'>> {
  const heaps = await mkdtemp(join(tmpdir(), 'temporal-inbox-soak-'));
  closes.push(() => rm(heaps, { recursive: true, force: true }));
  const postgres = await startPostgresServer();
  closes.push(() => postgres.stop());
  // In memory, as it is not the server that is looked at, and a file would make the disk's bad minutes the worker's. It
  // keeps the history of what is over: some 3 GB after an hour of 12 commands a second.
  const temporal = await startTemporalServer({
    uiPort: null,
    searchAttributes: Object.values(SEARCH_ATTRIBUTES),
  });
  closes.push(() => temporal.stop());
  const pool = createPool({ connectionString: postgres.url, max: 12, applicationName: 'soak' });
  closes.push(() => pool.end());
  await migrate(pool);
  await createChaosSchema(pool);
  await pool.query('create table chaos.crashes (message_id text primary key)');
  const env = reportHeapTo(heaps);
  const worker = await startWorkerProcess(
    { database: { url: postgres.url }, taskQueue: DEFAULT_TASK_QUEUE },
    './chaos-commands.js',
    { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_DEBUG: '', ...env },
  );
  closes.push(() => worker.kill('SIGKILL'));
  const relay = startSoakRelay(postgres.url, env);
  closes.push(() => relay.kill());
  const connection = await Connection.connect({ address: temporal.address });
  closes.push(() => connection.close());
  return { pool, client: new Client({ connection }), worker, relay, heaps };
}
