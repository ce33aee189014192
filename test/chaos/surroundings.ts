/**
 * The system that a chaos run disturbs: its own servers, a proxy and a pooler between the workers and Postgres, a broker,
 * and a fleet of workers of two releases.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { createPool } from '../../src/platform/postgres.ts';
import { choosePort } from '../../src/dev/process/ports.ts';
import { startPostgresServer } from '../../src/dev/postgres/server.ts';
import type { PostgresServer } from '../../src/dev/postgres/server.ts';
import { migrate } from '../../src/store/migrate.ts';
import { DEFAULT_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../src/core/protocol.ts';
import { startProxy } from '../support/proxy.ts';
import type { Proxy } from '../support/proxy.ts';
import { startPgBouncer, withoutPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { createChaosSchema } from './bank.ts';
import { startBrokerServer } from './broker.ts';
import type { Broker } from './broker.ts';
import { mountSmallDisk } from './disk.ts';
import type { SmallDisk } from './disk.ts';
import { ROUTES, startChaosFleet } from './fleet.ts';
import type { ChaosFleet } from './fleet.ts';
import type { Release } from './releases.ts';
import { startChaosTemporal } from './temporal.ts';
import type { ChaosTemporal } from './temporal.ts';

export interface Surroundings {
  fleet: ChaosFleet;
  /** One release, or two that the places of the fleet switch between. */
  releases: readonly Release[];
  proxy: Proxy;
  /** In transaction mode, in front of the proxy; null if PgBouncer is not installed. */
  pooler: PgBouncer | null;
  broker: Broker;
  postgres: PostgresServer;
  temporal: ChaosTemporal;
  /** Postgres's disk; null if it could not be mounted. */
  disk: SmallDisk | null;
  /** Connects directly to Postgres, not through the proxy, and is never read-only. */
  pool: Pool;
  /** The pools of the senders, with different routes to Postgres. */
  senderPools: readonly Pool[];
  client: Client;
  stop(): Promise<void>;
}

/** Enough for the write-ahead log and the tables of an hour. */
const DISK_MEGABYTES = 6_000;
/** The pooler's connections to Postgres. Fewer than the workers behind it would use. */
const SERVER_CONNECTIONS = 40;

export interface SurroundingsOptions {
  workers: number;
  releases: readonly Release[];
  onWorkerEnd: (name: string, log: string) => void;
}

export async function startSurroundings(options: SurroundingsOptions): Promise<Surroundings> {
  const { workers, releases, onWorkerEnd } = options;
  const disk = await mountSmallDisk(DISK_MEGABYTES);
  const postgres = await startPostgresServer(disk === null ? {} : { dataDir: join(disk.path, 'postgres') });
  const proxy = await startProxy(postgres.port);
  // Temporal's database is a file, so that a killed server keeps what it has acknowledged. If possible, the file is in
  // memory, for speed.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'temporal-inbox-chaos-'));
  const port = await choosePort();
  const temporal = await startChaosTemporal({
    port,
    uiPort: null,
    dbFile: join(folder, 'temporal', 'temporal.db'),
    searchAttributes: Object.values(SEARCH_ATTRIBUTES),
  });
  const pool = createPool({
    connectionString: postgres.url,
    max: 12,
    applicationName: 'chaos',
    settings: { default_transaction_read_only: 'off' },
  });
  await migrate(pool);
  await createChaosSchema(pool);
  const brokerServer = await startBrokerServer();

  const proxied = new URL(postgres.url);
  proxied.port = String(proxy.port);
  const pooler = withoutPgBouncer
    ? null
    : await startPgBouncer(proxied.href, {
        poolMode: 'transaction',
        settings: { default_pool_size: SERVER_CONNECTIONS },
      });
  const senderPools = [postgres.url, ...(pooler === null ? [] : [pooler.url])].map((connectionString) =>
    createPool({ connectionString, max: 8, applicationName: 'chaos sender', queryTimeoutMs: 20_000 }),
  );
  const fleet = startChaosFleet({
    places: Array.from({ length: workers }, (_, n) => ({
      release: releases[n % releases.length]!,
      route: ROUTES[n % ROUTES.length]!,
    })),
    taskQueue: DEFAULT_TASK_QUEUE,
    databaseUrl: proxied.href,
    pooledUrl: pooler?.url ?? null,
    env: {
      TEMPORAL_ADDRESS: `127.0.0.1:${port}`,
      INBOX_ALERT_WINDOW: '1s',
      CHAOS_BROKER: brokerServer.url,
    },
    onEnd: onWorkerEnd,
  });
  const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
  return {
    fleet,
    releases,
    proxy,
    pooler,
    broker: brokerServer.broker,
    postgres,
    temporal,
    disk,
    pool,
    senderPools,
    client: new Client({ connection }),
    async stop() {
      await fleet.stop();
      await connection.close();
      await Promise.all([pool, ...senderPools].map((each) => each.end()));
      await brokerServer.stop();
      await pooler?.stop();
      await proxy.close();
      await temporal.stop();
      await postgres.stop();
      await disk?.unmount();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
