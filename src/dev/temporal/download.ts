/**
 * Gets the Temporal CLI through the download that is built into Temporal's SDK.
 *
 * The SDK downloads the CLI only when it starts a server. Therefore a child process starts a server, with a given download
 * folder, and stops it again. A download that hangs ends when the child process is killed.
 *
 * @module
 */
import { chmod, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeOwnFolder, removeLeftovers } from '../process/folders.ts';
import { withProgress, type Log } from '../process/progress.ts';
import { runSupervised } from '../process/supervise.ts';
import { readTemporalVersion } from './version.ts';

/** If no byte arrives for this long, there is no network or a firewall drops packets. Slow downloads may continue. */
const STALLED_MS = 20_000;

export async function downloadTemporal(version: string, target: string, log: Log): Promise<void> {
  requireTesting();
  const cache = dirname(dirname(target));
  await makeOwnFolder(cache);
  await makeOwnFolder(dirname(target));
  await withProgress(`downloading the Temporal CLI ${version}`, log, () => download(version, cache, target));
}

function requireTesting(): void {
  try {
    createRequire(import.meta.url).resolve('@temporalio/testing');
  } catch (error) {
    throw new Error(
      "the Temporal SDK's download is not available: install it with `npm i -D @temporalio/testing`",
      { cause: error },
    );
  }
}

async function download(version: string, cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.downloading-');
  const folder = await mkdtemp(join(cache, '.downloading-'));
  const stalled = new AbortController();
  const stallTimer = watchForStall(folder, stalled);
  try {
    const result = await runSupervised(
      {
        command: process.execPath,
        args: [fileURLToPath(new URL('./download-child.js', import.meta.url)), `v${version}`, folder],
        env: process.env,
        cwd: folder,
        logFile: join(folder, 'log'),
        // SIGKILL makes the watchdog kill the whole process group, so the child's server ends too.
        stopSignal: 'SIGKILL',
        removeWhenOrphaned: [folder],
      },
      stalled.signal,
    );
    if (stalled.signal.aborted) throw new Error(`temporal.download sent nothing for ${STALLED_MS / 1000} s`);
    const downloaded = await findDownload(folder);
    if (downloaded === null) {
      throw new Error(`could not download from temporal.download (${reason(result.log)})`);
    }
    await readTemporalVersion(downloaded);
    await chmod(downloaded, 0o755);
    await rename(downloaded, target);
  } finally {
    clearInterval(stallTimer);
    await rm(folder, { recursive: true, force: true });
  }
}

function watchForStall(folder: string, stalled: AbortController): NodeJS.Timeout {
  let bytes = 0;
  let progressAt = performance.now();
  async function checkProgress(): Promise<void> {
    const now = await countBytes(folder);
    if (now !== bytes) progressAt = performance.now();
    bytes = now;
    if (performance.now() - progressAt > STALLED_MS) stalled.abort();
  }
  return setInterval(() => void checkProgress(), 1_000);
}

async function countBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => null)));
  return sizes.reduce((sum, stats) => sum + (stats?.size ?? 0), 0);
}

/** The SDK names the file `temporal-sdk-typescript-…` or `temporal-cli-…`, plus `.downloading` while it is incomplete. */
async function findDownload(folder: string): Promise<string | null> {
  for (const name of await readdir(folder)) {
    if (name.startsWith('temporal') && !name.endsWith('.downloading')) return join(folder, name);
  }
  return null;
}

/** The SDK's message is a chain of causes that repeats the address. The last two parts describe the problem. */
function reason(log: string): string {
  const last = log.split('\n').findLast((line) => line.trim() !== '') ?? 'no reason given';
  return last.trim().split(': ').slice(-2).join(': ');
}
