/**
 * A Temporal server for development and tests: the CLI's `server start-dev`, on the loopback interface only.
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
  /** A Temporal CLI. Default: found, downloaded or built. */
  binary?: string;
  /** In a private folder, which is made when it is missing. Kept after the end. Without it everything is in memory. */
  dbFile?: string;
  /** Default: a free one. */
  port?: number;
  /** Null: no Web UI. Default: a free port. */
  uiPort?: number | null;
  /** Made when it is missing. Default `default`. */
  namespace?: string;
  /** Names, all of type Keyword; made sure of before the server counts as ready. */
  searchAttributes: string[];
  log?: Log;
  dynamicConfig?: Record<string, string | number | boolean>;
  /** What the server writes. Default: next to dbFile, else a temporary file. */
  logFile?: string;
}

export interface TemporalServer {
  /** The `temporal` command that runs it. */
  readonly binary: string;
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly uiUrl: string | null;
  readonly pid: number;
  stop(): Promise<void>;
  /** SIGKILL. */
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
/** After a crash of its owner the old server is being stopped, which takes a moment. */
const STOPPING_MS = 5_000;

const DEFAULT_DYNAMIC_CONFIG = {
  // With 4 partitions and few pollers, ordinary starts stalled for 2 s and more.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};

/** Resolves when the namespace answers and a query by each search attribute is accepted. */
export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const plan = await makePlan(options);
  try {
    const { running, port, uiPort } = await launchOnSomePort(plan);
    const end = async (how: 'stop' | 'kill') => {
      await running[how]();
      await release(plan);
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
    await release(plan);
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

async function release(plan: Plan): Promise<void> {
  if (plan.temporaryFolder !== null) await rm(plan.temporaryFolder, { recursive: true, force: true });
}

const pidFileOf = (dbFile: string) => `${dbFile}.pid`;

/** Nothing stops two servers from writing one SQLite file; both would believe that they own its shards. */
async function refuseSecondServer(dbFile: string): Promise<void> {
  const pid = Number.parseInt(await readFile(pidFileOf(dbFile), 'utf8').catch(() => ''), 10);
  if (Number.isNaN(pid) || !(await isRunning(pid, dbFile))) return;
  if (await waitUntilGone(pid, dbFile, STOPPING_MS)) return;
  throw new Error(
    `a Temporal server is running on ${dbFile} already: process ${pid}. ` +
      `Use that one, stop it (kill ${pid}), or choose another file`,
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
      // Between our choice and the server's bind somebody else can take a port; then it says so in its log, and ends.
      const chosenByUs = options.port === undefined || options.uiPort === undefined;
      if (!(error instanceof EndedEarlyError) || !chosenByUs || tries === PORT_TRIES) throw error;
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
    // In memory there is nothing to write down, and a graceful stop takes 1.4 s.
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
      `the end of ${plan.logFile}:\n${await running.readLog()}`;
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

/** Without the variables that configure Temporal's clients, some of which `start-dev` would read too. */
function serverEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}
