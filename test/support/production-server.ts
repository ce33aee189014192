/**
 * A Temporal server set up as in production: the real server, with all four services in one process and its stores in
 * Postgres. It is built with Go once and stored in the cache folder of the development server's CLI.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Connection } from '@temporalio/client';
import { stringify } from 'yaml';
import { defaultCacheDir } from '../../src/dev/process/folders.ts';
import { goInstall } from '../../src/dev/process/go-install.ts';
import { choosePort, LOOPBACK } from '../../src/dev/process/ports.ts';
import type { Log } from '../../src/dev/process/progress.ts';
import { describeExit, supervise } from '../../src/dev/process/supervise.ts';
import type { Supervised } from '../../src/dev/process/supervise.ts';
import { waitUntilReady } from '../../src/dev/temporal/ready.ts';

export interface ProductionServerOptions {
  /** The URL of a superuser. Temporal's two databases are created on the same Postgres server and not deleted. */
  databaseUrl: string;
  /** Names of search attributes, which are registered with type Keyword. */
  searchAttributes: string[];
  /** The server's release. Default {@link SERVER_VERSION}. */
  version?: string;
  log: Log;
}

export interface ProductionServer {
  address: string;
  pid: number;
  stop(): Promise<void>;
}

/** The default release. It is the one in the CLI that is built with Go. */
export const SERVER_VERSION = '1.29.1';
const NAMESPACE = 'default';
const STORES = { temporal: 'postgresql/v12/temporal', temporal_visibility: 'postgresql/v12/visibility' };
const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;
const START_TIMEOUT_MS = 60_000;

export async function startProductionServer(options: ProductionServerOptions): Promise<ProductionServer> {
  const { version = SERVER_VERSION, log } = options;
  const server = await findProgram('server', 'cmd/server', version, log);
  const sql = await findProgram('sql', 'cmd/tools/sql', version, log);
  const database = new URL(options.databaseUrl);
  for (const [name, schema] of Object.entries(STORES)) await makeStore(sql, database, name, schema);
  const folder = await mkdtemp(join(tmpdir(), 'temporal-inbox-server-'));
  try {
    const port = await chooseLowPort();
    await writeConfig(folder, database, port);
    const running = await supervise({
      command: server,
      args: ['--root', folder, '--config', 'config', '--env', 'production', 'start'],
      env: envWithoutTemporal(),
      cwd: folder,
      logFile: join(folder, 'server.log'),
      removeWhenOrphaned: [folder],
    });
    const stop = async () => {
      await running.stop();
      await rm(folder, { recursive: true, force: true });
    };
    try {
      await registerNamespace(running, port);
      await waitUntilReady(running, {
        port,
        uiPort: null,
        namespace: NAMESPACE,
        searchAttributes: options.searchAttributes,
      });
    } catch (error) {
      const lines = await running.readLog();
      await stop();
      throw new Error(`Temporal's server did not start; the last lines of its log:\n${lines}`, {
        cause: error,
      });
    }
    return { address: `${LOOPBACK}:${port}`, pid: running.pid, stop };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Builds the program if it is not cached. `go install` names a program after its source folder. */
async function findProgram(name: string, source: string, version: string, log: Log): Promise<string> {
  const target = join(defaultCacheDir(), `temporal-server-${version}`, name);
  const program = {
    name: `Temporal's ${name}`,
    package: `go.temporal.io/server/${source}`,
    version,
    check: async (path: string) => promisify(execFile)(path, ['--help'], { timeout: 30_000 }),
  };
  await goInstall(program, target, log);
  return target;
}

function envWithoutTemporal(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}

async function makeStore(tool: string, database: URL, name: string, schema: string): Promise<void> {
  const connection = ['--ep', database.hostname, '--port', database.port, '--user', database.username];
  const run = (...args: string[]) =>
    promisify(execFile)(tool, [...connection, '--plugin', 'postgres12', '--db', name, ...args], {
      env: { ...envWithoutTemporal(), SQL_PASSWORD: decodeURIComponent(database.password) },
    });
  await run('create-database');
  await run('setup-schema', '-v', '0.0');
  await run('update-schema', '--schema-name', schema);
}

/** Chooses a port below 32,768, because Temporal stores its services' ports as smallint. */
async function chooseLowPort(): Promise<number> {
  for (;;) {
    const wanted = 20_000 + Math.floor(Math.random() * 10_000);
    if ((await choosePort(wanted)) === wanted) return wanted;
  }
}

/** Writes the required parts of the server's own config template, with the pool sizes of its Docker image. */
async function writeConfig(folder: string, database: URL, port: number): Promise<void> {
  const store = (databaseName: string, maxConns: number) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `${database.hostname}:${database.port}`,
      connectProtocol: 'tcp',
      user: database.username,
      password: decodeURIComponent(database.password),
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
    },
  });
  const services: Record<string, unknown> = {};
  for (const service of SERVICES) {
    const grpcPort = service === 'frontend' ? port : await chooseLowPort();
    services[service] = { rpc: { grpcPort, membershipPort: await chooseLowPort(), bindOnLocalHost: true } };
  }
  const config = {
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: 4,
      datastores: { default: store('temporal', 20), visibility: store('temporal_visibility', 10) },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: LOOPBACK } },
    services,
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `${LOOPBACK}:${port}`,
        },
      },
    },
    publicClient: { hostPort: `${LOOPBACK}:${port}` },
    dynamicConfigClient: { filepath: join(folder, 'dynamic.yaml'), pollInterval: '60s' },
  };
  // The docs recommend this for the inbox's task queue. Here it applies to all, because each measurement has its own task
  // queue.
  const dynamic = Object.fromEntries(
    ['matching.numTaskqueueReadPartitions', 'matching.numTaskqueueWritePartitions'].map((key) => [
      key,
      [{ value: 1 }],
    ]),
  );
  // The config contains a password. Only the current user can read the folder.
  await mkdir(join(folder, 'config'));
  await writeFile(join(folder, 'config', 'production.yaml'), stringify(config));
  await writeFile(join(folder, 'dynamic.yaml'), stringify(dynamic));
}

/** Resolves as soon as the frontend has registered the namespace. `waitUntilReady` then waits until all caches have it. */
async function registerNamespace(server: Supervised, port: number): Promise<void> {
  const connection = Connection.lazy({ address: `${LOOPBACK}:${port}` });
  const deadline = Date.now() + START_TIMEOUT_MS;
  try {
    for (;;) {
      if (server.exit) throw new Error(`the server ended with ${describeExit(server.exit)}`);
      try {
        return await connection.withDeadline(Date.now() + 5_000, async () => {
          await connection.workflowService.registerNamespace({
            namespace: NAMESPACE,
            workflowExecutionRetentionPeriod: { seconds: (3 * 86_400) as never },
          });
        });
      } catch (error) {
        if (/already exists/i.test(String(error))) return;
        if (Date.now() > deadline) throw error;
        await sleep(200);
      }
    }
  } finally {
    await connection.close();
  }
}
