/**
 * Builds a program with Go when no binary is available.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withFileLock } from './file-lock.ts';
import { makeOwnFolder, removeLeftovers } from './folders.ts';
import { checkCached } from './ownership.ts';
import { withProgress, type Log } from './progress.ts';
import { describeExit, runSupervised } from './supervise.ts';

export interface GoProgram {
  /** The name shown in messages. */
  name: string;
  /** The package path for `go install`, without a version. */
  package: string;
  version: string;
  /** Rejects when the file does not run or is a different program. */
  check(path: string): Promise<unknown>;
}

/**
 * Installs the program at the target path, in its own folder below the cache. The program is built elsewhere and then moved
 * into place, so other processes see either the complete binary or none.
 *
 * @throws NotOursError when another user can change the target or its folder; Error when Go is missing or the build fails
 */
export async function goInstall(program: GoProgram, target: string, log: Log): Promise<void> {
  await promisify(execFile)('go', ['version']).catch((error: unknown) => {
    throw new Error('Go is not installed, or `go version` fails', { cause: error });
  });
  const cache = dirname(dirname(target));
  await makeOwnFolder(cache);
  await makeOwnFolder(dirname(target));
  // Two concurrent builds would both succeed, but each would take twice as long.
  await withFileLock(join(cache, `${basename(dirname(target))}.lock`), log, async () => {
    if ((await checkCached(target, (path) => program.check(path))) !== null) return;
    const what = `building ${program.name} ${program.version} with Go (only once, takes a few minutes)`;
    await withProgress(what, log, () => build(program, cache, target));
  });
}

async function build(program: GoProgram, cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.building-');
  const folder = await mkdtemp(join(cache, '.building-'));
  const source = `${program.package}@v${program.version}`;
  try {
    const result = await runSupervised({
      command: 'go',
      args: ['install', source],
      // The programs built here need no C compiler, and their official releases are built without one. Go does not start
      // without HOME.
      // A program may need a newer Go than the installed one, which Go then downloads.
      env: {
        HOME: homedir(),
        ...process.env,
        GOBIN: folder,
        CGO_ENABLED: '0',
        GOFLAGS: '',
        GOTOOLCHAIN: 'auto',
      },
      cwd: folder,
      logFile: join(folder, 'build.log'),
      removeWhenOrphaned: [folder],
    });
    if (result.code !== 0) {
      throw new Error(`\`go install ${source}\` ended with ${describeExit(result)}: ${result.log}`);
    }
    const built = join(folder, basename(target));
    await program.check(built);
    await chmod(built, 0o755);
    await rename(built, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
