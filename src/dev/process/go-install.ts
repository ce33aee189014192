/**
 * Builds a program with Go, where nothing else is to be had.
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
  /** For people. */
  name: string;
  /** As `go install` takes it. */
  package: string;
  version: string;
  /** Rejects when the file does not run or is something else. */
  check(path: string): Promise<unknown>;
}

/**
 * Puts the program at the target, in a folder of its own below the cache. It is built elsewhere and moved in place:
 * others see a whole binary or none.
 *
 * @throws NotOursError when another user can change the target or its folder; Error when Go is missing or the build fails
 */
export async function goInstall(program: GoProgram, target: string, log: Log): Promise<void> {
  await promisify(execFile)('go', ['version']).catch((error: unknown) => {
    throw new Error('Go is not installed, or `go version` does not run', { cause: error });
  });
  const cache = dirname(dirname(target));
  await makeOwnFolder(cache);
  await makeOwnFolder(dirname(target));
  // Two builds at once would work, each for twice the time.
  await withFileLock(join(cache, `${basename(dirname(target))}.lock`), log, async () => {
    if ((await checkCached(target, (path) => program.check(path))) !== null) return;
    const what = `building ${program.name} ${program.version} with Go, once; it takes some minutes`;
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
      // Neither program needs a C compiler, and their own releases are built without one. Go will not start without a
      // home.
      env: { HOME: homedir(), ...process.env, GOBIN: folder, CGO_ENABLED: '0', GOFLAGS: '' },
      cwd: folder,
      logFile: join(folder, 'build.log'),
      removeWhenOrphaned: [folder],
    });
    if (result.code !== 0) {
      throw new Error(`\`go install ${source}\` ended with ${describeExit(result)}: ${result.log}`);
    }
    const made = join(folder, basename(target));
    await program.check(made);
    await chmod(made, 0o755);
    await rename(made, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
