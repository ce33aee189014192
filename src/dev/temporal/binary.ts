/**
 * Finds or installs a Temporal CLI, whose command `server start-dev` is the embedded Temporal server.
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
import { BUILT_CLI_VERSION, DOWNLOADED_CLI_VERSION, readTemporalVersion } from './version.ts';

export type TemporalBinarySource = 'TEMPORAL_CLI_PATH' | 'PATH' | 'cache' | 'download' | 'build';

export interface TemporalBinary {
  path: string;
  source: TemporalBinarySource;
  /** The output of `--version`. */
  version: string;
}

export interface FindTemporalOptions {
  log?: Log;
  env?: NodeJS.ProcessEnv;
  cacheDir?: string;
  /** Ways to get a missing binary, tried in this order. */
  providers?: Provider[];
}

interface Provider {
  source: TemporalBinarySource;
  /** The release that it installs. */
  version: string;
  get: TemporalProvider;
}

/** Installs a working binary at the target path, atomically. Rejects when it cannot. */
export type TemporalProvider = (target: string, log: Log) => Promise<void>;

const EXECUTABLE = process.platform === 'win32' ? 'temporal.exe' : 'temporal';

const DEFAULT_PROVIDERS: Provider[] = [
  {
    source: 'download',
    version: DOWNLOADED_CLI_VERSION,
    get: (target, log) => downloadTemporal(DOWNLOADED_CLI_VERSION, target, log),
  },
  {
    source: 'build',
    version: BUILT_CLI_VERSION,
    get: (target, log) => buildTemporal(BUILT_CLI_VERSION, target, log),
  },
];

/**
 * Looks in this order: TEMPORAL_CLI_PATH, `temporal` on PATH, the cache, a download by Temporal's SDK, a build with Go. A
 * downloaded or built binary stays in the cache. Logs one line with the binary that is used.
 *
 * @throws NotOursError when another user can change the binary in the cache; AggregateError when no binary could be obtained
 */
export async function findTemporalBinary(options: FindTemporalOptions = {}): Promise<TemporalBinary> {
  const log = options.log ?? (() => {});
  const binary = await find(log, options);
  log(`using the Temporal CLI from ${binary.source}: ${binary.path} (${binary.version})`);
  return binary;
}

async function find(log: Log, options: FindTemporalOptions): Promise<TemporalBinary> {
  const { env = process.env, cacheDir = defaultCacheDir(), providers = DEFAULT_PROVIDERS } = options;
  const chosen = env['TEMPORAL_CLI_PATH'];
  if (chosen) return checkChosen(chosen);

  for (const path of await findOnPath(env['PATH'] ?? '')) {
    const version = await readTemporalVersion(path).catch(() => null);
    if (version !== null) return { path, source: 'PATH', version };
    log(`skipped ${path}: it is not a working Temporal CLI (\`--version\` failed)`);
  }

  // A CLI that was built once is used from then on, also if a newer one could be downloaded now.
  for (const provider of providers) {
    const cached = targetOf(cacheDir, provider);
    const version = await checkCached(cached, readTemporalVersion);
    if (version !== null) return { path: cached, source: 'cache', version };
  }
  return install(cacheDir, providers, log);
}

function targetOf(cacheDir: string, { version }: Provider): string {
  return join(cacheDir, `temporal-cli-${version}`, EXECUTABLE);
}

async function checkChosen(path: string): Promise<TemporalBinary> {
  try {
    return { path, source: 'TEMPORAL_CLI_PATH', version: await readTemporalVersion(path) };
  } catch (error) {
    throw new Error(
      `TEMPORAL_CLI_PATH is ${path}, which is not a working Temporal CLI; correct or unset the variable`,
      { cause: error },
    );
  }
}

async function install(cacheDir: string, providers: Provider[], log: Log): Promise<TemporalBinary> {
  const failures: Error[] = [];
  for (const provider of providers) {
    const { source } = provider;
    const target = targetOf(cacheDir, provider);
    try {
      await provider.get(target, log);
      return { path: target, source, version: await readTemporalVersion(target) };
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      failures.push(failure);
      log(`could not get the Temporal CLI by ${source}: ${failure.message}`);
    }
  }
  throw new AggregateError(
    failures,
    [
      'no Temporal CLI was found, and it could not be downloaded or built:',
      ...failures.map((failure) => `  - ${failure.message}`),
      'Do one of the following:',
      '  - install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH,',
      '    or set TEMPORAL_CLI_PATH to its path',
      '  - install Go (https://go.dev/dl), which builds the CLI automatically',
      '  - set TEMPORAL_ADDRESS to a running Temporal server, such as 127.0.0.1:7233',
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
