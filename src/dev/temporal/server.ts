/**
 * A Temporal server for development and tests: the CLI's `server start-dev`. It listens on the loopback interface only.
 *
 * @module
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { makePrivateFolder } from '../process/folders.ts';
import { choosePort, LOOPBACK } from '../process/ports.ts';
import { isRunning, waitUntilGone } from '../process/processes.ts';
import type { Log } from '../process/progress.ts';
import { supervise, type Supervised } from '../process/supervise.ts';
import { findTemporalBinary } from './binary.ts';
import { waitUntilReady } from './ready.ts';

export interface TemporalServerOptions {
  /** Path of a Temporal CLI. Default: the CLI is found, downloaded or built. */
  binary?: string;
  /** A file in a private folder, which is created if missing. Kept after the server stops. Default: data in memory. */
  dbFile?: string;
  /** Default: a free port. */
  port?: number;
  /** Null: no Web UI. Default: a free port. */
  uiPort?: number | null;
  /** Created if it is missing. Default `default`. */
  namespace?: string;
  /** Names of attributes of type Keyword. They are registered before the server counts as ready. */
  searchAttributes: string[];
  log?: Log;
  dynamicConfig?: Record<string, string | number | boolean>;
  /** Receives the server's output. Default: a file next to dbFile, or a temporary file if there is no dbFile. */
  logFile?: string;
}

export interface TemporalServer {
  /** Path of the `temporal` command that runs the server. */
  readonly binary: string;
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly uiUrl: string | null;
  readonly pid: number;
  stop(): Promise<void>;
  /** Ends the server with SIGKILL. */
  kill(): Promise<void>;
}

interface Plan {
  binary: string;
  namespace: string;
  dbFile: string | null;
  logFile: string;
  temporaryFolder: string | null;
  options: TemporalServerOptions;
}

interface Launched {
  running: Supervised;
  port: number;
  uiPort: number | null;
}

const PORT_TRIES = 3;
/** How long to wait for an old server that is still stopping after its owner crashed. */
const STOPPING_MS = 5_000;

const DEFAULT_DYNAMIC_CONFIG = {
  // With the default 4 partitions and few pollers, ordinary workflow starts stalled for 2 s and more.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};

/** Resolves when the namespace exists and the server accepts queries by all search attributes. */
export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const plan = await makePlan(options);
  try {
    const { running, port, uiPort } = await launchOnSomePort(plan);
    const end = async (how: 'stop' | 'kill') => {
      await running[how]();
      await removeTemporaryFolder(plan);
    };
    return {
      address: `${LOOPBACK}:${port}`,
      binary: plan.binary,
      uiUrl: uiPort === null ? null : `http://${LOOPBACK}:${uiPort}`,
      pid: running.pid,
      stop: () => end('stop'),
      kill: () => end('kill'),
    };
  } catch (error) {
    await removeTemporaryFolder(plan);
    throw error;
  }
}

async function makePlan(options: TemporalServerOptions): Promise<Plan> {
  const log = options.log ?? (() => {});
  const binary = options.binary ?? (await findTemporalBinary({ log })).path;
  const dbFile = options.dbFile === undefined ? null : resolve(options.dbFile);
  if (dbFile !== null) {
    await makePrivateFolder(dirname(dbFile));
    await refuseSecondServer(dbFile);
  }
  const logFile = options.logFile ?? (dbFile === null ? null : `${dbFile}.log`);
  const temporaryFolder = logFile === null ? await mkdtemp(join(tmpdir(), 'temporal-inbox-temporal-')) : null;
  return {
    binary,
    namespace: options.namespace ?? 'default',
    dbFile,
    logFile: logFile ?? join(temporaryFolder ?? '', 'temporal.log'),
    temporaryFolder,
    options,
  };
}

async function removeTemporaryFolder(plan: Plan): Promise<void> {
  if (plan.temporaryFolder !== null) await rm(plan.temporaryFolder, { recursive: true, force: true });
}

const pidFileOf = (dbFile: string) => `${dbFile}.pid`;

/** SQLite lets two servers write the same file, and each server would assume that it owns the shards in the file. */
async function refuseSecondServer(dbFile: string): Promise<void> {
  const pid = Number.parseInt(await readFile(pidFileOf(dbFile), 'utf8').catch(() => ''), 10);
  if (Number.isNaN(pid) || !(await isRunning(pid, dbFile))) return;
  if (await waitUntilGone(pid, dbFile, STOPPING_MS)) return;
  throw new Error(
    `another Temporal server is already using ${dbFile}: process ${pid}. ` +
      `Use that server, stop it (kill ${pid}), or choose another file`,
  );
}

async function launchOnSomePort(plan: Plan): Promise<Launched> {
  const { options } = plan;
  for (let tries = 1; ; tries += 1) {
    const port = options.port ?? (await choosePort());
    const uiPort = options.uiPort === null ? null : (options.uiPort ?? (await choosePort()));
    try {
      return { running: await launch(plan, port, uiPort), port, uiPort };
    } catch (error) {
      // Another process can take a chosen port before the server binds it. The server then logs this and ends.
      const portWasPicked = options.port === undefined || options.uiPort === undefined;
      if (!(error instanceof EndedEarlyError) || !portWasPicked || tries === PORT_TRIES) throw error;
    }
  }
}

class EndedEarlyError extends Error {}

async function launch(plan: Plan, port: number, uiPort: number | null): Promise<Supervised> {
  const running = await supervise({
    command: plan.binary,
    args: argumentsOf(plan, port, uiPort),
    env: serverEnv(),
    cwd: dirname(plan.logFile),
    logFile: plan.logFile,
    // A server without a database file has nothing to save, and a graceful stop takes 1.4 s.
    stopSignal: plan.dbFile === null ? 'SIGKILL' : 'SIGTERM',
    removeWhenOrphaned: plan.temporaryFolder === null ? [] : [plan.temporaryFolder],
  });
  try {
    if (plan.dbFile !== null) await writeFile(pidFileOf(plan.dbFile), `${running.pid}\n`);
    await waitUntilReady(running, {
      port,
      uiPort,
      namespace: plan.namespace,
      searchAttributes: plan.options.searchAttributes,
    });
    return running;
  } catch (error) {
    const ended = running.exit !== undefined;
    await running.kill();
    const reason = error instanceof Error ? error.message : String(error);
    const message =
      `the Temporal server did not start on port ${port}: ${reason}; ` +
      `the last lines of ${plan.logFile}:\n${await running.readLog()}`;
    throw ended ? new EndedEarlyError(message, { cause: error }) : new Error(message, { cause: error });
  }
}

function argumentsOf(plan: Plan, port: number, uiPort: number | null): string[] {
  const dynamicConfig = { ...DEFAULT_DYNAMIC_CONFIG, ...plan.options.dynamicConfig };
  return [
    'server',
    'start-dev',
    '--log-level=warn',
    `--ip=${LOOPBACK}`,
    `--port=${port}`,
    ...(uiPort === null ? ['--headless'] : [`--ui-port=${uiPort}`]),
    ...(plan.dbFile === null ? [] : [`--db-filename=${plan.dbFile}`]),
    ...(plan.namespace === 'default' ? [] : [`--namespace=${plan.namespace}`]),
    ...plan.options.searchAttributes.map((name) => `--search-attribute=${name}=Keyword`),
    ...Object.entries(dynamicConfig).map(
      ([key, value]) => `--dynamic-config-value=${key}=${JSON.stringify(value)}`,
    ),
  ];
}

/** Removes the variables that configure Temporal's clients, because `start-dev` would read some of them too. */
function serverEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
