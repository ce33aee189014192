/**
 * Finds a nats-server for the tests: an installed one, or one built with Go into the user's cache.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { defaultCacheDir } from '../../src/dev/process/folders.ts';
import { goInstall } from '../../src/dev/process/go-install.ts';
import { checkCached } from '../../src/dev/process/ownership.ts';
import type { Log } from '../../src/dev/process/progress.ts';

/** The version to build if none is installed. The tests have run with it and with Debian 12's 2.9.10. */
const VERSION = '2.12.15';
const EXECUTABLE = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server';

export interface FindNatsOptions {
  log?: Log;
  /** The command to try first. By default the one on PATH. */
  command?: string;
  cacheDir?: string;
}

/** @throws Error that says what to install, if there is no nats-server and it cannot be built */
export async function findNatsServer(options: FindNatsOptions = {}): Promise<string> {
  const { log = () => {}, command = EXECUTABLE, cacheDir = defaultCacheDir() } = options;
  const cached = join(cacheDir, `nats-server-${VERSION}`, EXECUTABLE);
  if (await checkVersion(command).catch(() => null)) return command;
  if (await checkCached(cached, checkVersion)) return cached;
  const program = {
    name: 'nats-server',
    package: 'github.com/nats-io/nats-server/v2',
    version: VERSION,
    check: checkVersion,
  };
  try {
    await goInstall(program, cached, log);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(
      `the tests of the NATS publisher need a nats-server: none is installed, and it could not be built: ${cause}\n` +
        'Install it (`apt-get install nats-server`, `brew install nats-server`) or Go (https://go.dev/dl)',
      { cause: error },
    );
  }
  return cached;
}

async function checkVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 30_000 });
  if (!stdout.startsWith('nats-server: v'))
    throw new Error(`${path} --version printed ${JSON.stringify(stdout)}`);
  return stdout.trim();
}
