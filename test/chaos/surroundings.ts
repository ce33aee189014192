/**
 * What a chaos run happens to: servers of its own, a proxy between the workers and Postgres, and a fleet of workers.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { createPool } from '../../src/database.ts';
import { choosePort } from '../../src/dev/ports.ts';
import { startPostgresServer } from '../../src/dev/postgres-server.ts';
import type { PostgresServer } from '../../src/dev/postgres-server.ts';
import { startTemporalServer } from '../../src/dev/temporal-server.ts';
import type { TemporalServer } from '../../src/dev/temporal-server.ts';
import { migrate } from '../../src/migrate.ts';
import { DEFAULT_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../src/protocol.ts';
import { startProxy } from '../support/proxy.ts';
import type { Proxy } from '../support/proxy.ts';
import { startFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';
import { createChaosSchema } from './bank.ts';
import { mountSmallDisk } from './disk.ts';
import type { SmallDisk } from './disk.ts';

export interface Surroundings {
  fleet: WorkerFleet;
  proxy: Proxy;
  postgres: PostgresServer;
  temporal: { server: TemporalServer; start: () => Promise<TemporalServer> };
  /** Postgres's, where one could be mounted. */
  disk: SmallDisk | null;
  /** Straight to Postgres, not through the proxy. */
  pool: Pool;
  client: Client;
  stop(): Promise<void>;
}

/** Room for the write-ahead log and the tables of an hour. */
const DISK_MEGABYTES = 6_000;

export async function startSurroundings(workers: number): Promise<Surroundings> {
  const disk = await mountSmallDisk(DISK_MEGABYTES);
  const postgres = await startPostgresServer(disk === null ? {} : { dataDir: join(disk.path, 'postgres') });
  const proxy = await startProxy(postgres.port);
  // A file, so that a killed server finds again what it had acknowledged; in memory, where possible, for its speed.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'temporal-inbox-chaos-'));
  const port = await choosePort();
  const startTemporal = () =>
    startTemporalServer({
      port,
      uiPort: null,
      dbFile: join(folder, 'temporal', 'temporal.db'),
      searchAttributes: Object.values(SEARCH_ATTRIBUTES),
    });
  const temporal = { server: await startTemporal(), start: startTemporal };
  const pool = createPool({ connectionString: postgres.url, max: 12, applicationName: 'chaos' });
  await migrate(pool);
  await createChaosSchema(pool);
  await pool.query('create table chaos.crashes (message_id text primary key)');

  const proxied = new URL(postgres.url);
  proxied.port = String(proxy.port);
  const fleet = await startFleet(
    { database: { url: proxied.href }, taskQueue: DEFAULT_TASK_QUEUE },
    './chaos-commands.js',
    workers,
    { TEMPORAL_ADDRESS: `127.0.0.1:${port}`, INBOX_ALERT_WINDOW: '1s' },
  );
  const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
  return {
    fleet,
    proxy,
    postgres,
    temporal,
    disk,
    pool,
    client: new Client({ connection }),
    async stop() {
      await fleet.stop();
      await connection.close();
      await pool.end();
      await proxy.close();
      await temporal.server.stop();
      await postgres.stop();
      await disk?.unmount();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
