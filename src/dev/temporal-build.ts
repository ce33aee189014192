/**
 * Builds the Temporal CLI with Go, where nothing else is to be had.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withFileLock } from './file-lock.ts';
import { makeProgramFolder, removeLeftovers } from './folders.ts';
import { withProgress, type Log } from './progress.ts';
import { describeExit, runSupervised } from './supervise.ts';
import { readTemporalVersion } from './temporal-version.ts';

const MODULE = 'github.com/temporalio/cli/cmd/temporal';

/** Builds in a folder of its own and moves the result in place: others see a whole binary or none. */
export async function buildTemporal(version: string, target: string, log: Log): Promise<void> {
  await promisify(execFile)('go', ['version']).catch((error: unknown) => {
    throw new Error('Go is not installed, or `go version` does not run', { cause: error });
  });
  const cache = dirname(dirname(target));
  await makeProgramFolder(cache);
  await makeProgramFolder(dirname(target));
  // Two builds at once would work, each for twice the time.
  await withFileLock(join(cache, `${basename(dirname(target))}.lock`), log, async () => {
    const built = await readTemporalVersion(target).catch(() => null);
    if (built !== null) return;
    await withProgress(`building the Temporal CLI ${version} with Go, once; it takes some minutes`, log, () =>
      build(version, cache, target),
    );
  });
}

async function build(version: string, cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.building-');
  const folder = await mkdtemp(join(cache, '.building-'));
  try {
    const result = await runSupervised({
      command: 'go',
      args: ['install', `${MODULE}@v${version}`],
      // The CLI needs no C compiler, and its own releases are built without one. Go will not start without a home.
      env: { HOME: homedir(), ...process.env, GOBIN: folder, CGO_ENABLED: '0', GOFLAGS: '' },
      cwd: folder,
      logFile: join(folder, 'build.log'),
      removeWhenOrphaned: [folder],
    });
    if (result.code !== 0) {
      throw new Error(
        `\`go install ${MODULE}@v${version}\` ended with ${describeExit(result)}: ${result.log}`,
      );
    }
    const made = join(folder, basename(target));
    await readTemporalVersion(made);
    await rename(made, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
