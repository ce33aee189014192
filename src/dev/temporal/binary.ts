/**
 * Finds a Temporal CLI, whose `server start-dev` is the embedded Temporal server: one that is there, or one it gets.
 *
 * @module
 */
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { defaultCacheDir } from '../process/folders.ts';
import { checkCached } from '../process/ownership.ts';
import type { Log } from '../process/progress.ts';
import { buildTemporal } from './build.ts';
import { downloadTemporal } from './download.ts';
import { readTemporalVersion, TEMPORAL_CLI_VERSION } from './version.ts';

export type TemporalBinarySource = 'TEMPORAL_CLI_PATH' | 'PATH' | 'cache' | 'download' | 'build';

export interface TemporalBinary {
  path: string;
  source: TemporalBinarySource;
  /** What `--version` says. */
  version: string;
}

export interface FindTemporalOptions {
  log?: Log;
  env?: NodeJS.ProcessEnv;
  cacheDir?: string;
  /** Ways to get a binary that is not there, tried in this order. Each resolves with its path, or rejects. */
  providers?: { source: TemporalBinarySource; get: TemporalProvider }[];
}

/** Puts a working binary at the target, atomically. */
export type TemporalProvider = (target: string, log: Log) => Promise<void>;

const EXECUTABLE = process.platform === 'win32' ? 'temporal.exe' : 'temporal';

const DEFAULT_PROVIDERS: { source: TemporalBinarySource; get: TemporalProvider }[] = [
  { source: 'download', get: (target, log) => downloadTemporal(TEMPORAL_CLI_VERSION, target, log) },
  { source: 'build', get: (target, log) => buildTemporal(TEMPORAL_CLI_VERSION, target, log) },
];

/**
 * In this order: TEMPORAL_CLI_PATH, `temporal` on PATH, the cache, a download by Temporal's SDK, a build with Go. What
 * was downloaded or built stays in the cache. Logs in one line which it is.
 *
 * @throws NotOursError when another user can change the one in the cache; AggregateError when there is none to be had
 */
export async function findTemporalBinary(options: FindTemporalOptions = {}): Promise<TemporalBinary> {
  const log = options.log ?? (() => {});
  const binary = await find(log, options);
  log(`Temporal CLI by ${binary.source}: ${binary.path} (${binary.version})`);
  return binary;
}

async function find(log: Log, options: FindTemporalOptions): Promise<TemporalBinary> {
  const { env = process.env, cacheDir = defaultCacheDir(), providers = DEFAULT_PROVIDERS } = options;
  const chosen = env['TEMPORAL_CLI_PATH'];
  if (chosen) return checkChosen(chosen);

  for (const path of await findOnPath(env['PATH'] ?? '')) {
    const version = await readTemporalVersion(path).catch(() => null);
    if (version !== null) return { path, source: 'PATH', version };
    log(`${path} is no Temporal CLI that runs (\`--version\` failed); looking further`);
  }

  const cached = join(cacheDir, `temporal-cli-${TEMPORAL_CLI_VERSION}`, EXECUTABLE);
  const version = await checkCached(cached, readTemporalVersion);
  if (version !== null) return { path: cached, source: 'cache', version };
  return getNew(cached, providers, log);
}

async function checkChosen(path: string): Promise<TemporalBinary> {
  try {
    return { path, source: 'TEMPORAL_CLI_PATH', version: await readTemporalVersion(path) };
  } catch (error) {
    throw new Error(
      `TEMPORAL_CLI_PATH is ${path}, which is no Temporal CLI that runs; correct or unset the variable`,
      { cause: error },
    );
  }
}

async function getNew(
  target: string,
  providers: { source: TemporalBinarySource; get: TemporalProvider }[],
  log: Log,
): Promise<TemporalBinary> {
  const failures: Error[] = [];
  for (const { source, get } of providers) {
    try {
      await get(target, log);
      return { path: target, source, version: await readTemporalVersion(target) };
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      failures.push(failure);
      log(`no Temporal CLI by ${source}: ${failure.message}`);
    }
  }
  throw new AggregateError(
    failures,
    [
      'there is no Temporal server to run, and none could be had:',
      ...failures.map((failure) => `  - ${failure.message}`),
      'Do one of these:',
      '  - install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH,',
      '    or set TEMPORAL_CLI_PATH to it',
      '  - install Go (https://go.dev/dl), with which it is built here',
      '  - set TEMPORAL_ADDRESS to a Temporal server that is running, such as 127.0.0.1:7233',
    ].join('\n'),
  );
}

async function findOnPath(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of path.split(delimiter).filter((entry) => entry !== '')) {
    const file = join(folder, EXECUTABLE);
    if (await isExecutableFile(file)) found.push(file);
  }
  return found;
}

async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
