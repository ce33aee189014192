/**
 * Gets the Temporal CLI by the download that Temporal's SDK has built in.
 *
 * The SDK downloads only to start a server, so a child process does just that, into a folder of ours, and ends the
 * server again; a run that hangs can be ended with it.
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

/** Without a byte for so long there is no network, or a firewall that swallows. A slow download may take its time. */
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
    throw new Error("the SDK's download is not installed: `npm i -D @temporalio/testing`", { cause: error });
  }
}

async function download(version: string, cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.downloading-');
  const folder = await mkdtemp(join(cache, '.downloading-'));
  const stalled = new AbortController();
  const watching = watchForStall(folder, stalled);
  try {
    const result = await runSupervised(
      {
        command: process.execPath,
        args: [fileURLToPath(new URL('./download-child.js', import.meta.url)), `v${version}`, folder],
        env: process.env,
        cwd: folder,
        logFile: join(folder, 'log'),
        // Its server must go too, so nothing is asked of the child first: its process group is ended.
        stopSignal: 'SIGKILL',
        removeWhenOrphaned: [folder],
      },
      stalled.signal,
    );
    if (stalled.signal.aborted) throw new Error(`temporal.download sent nothing for ${STALLED_MS / 1000} s`);
    const made = await findDownload(folder);
    if (made === null) {
      throw new Error(`temporal.download cannot be reached (${reason(result.log)})`);
    }
    await readTemporalVersion(made);
    await chmod(made, 0o755);
    await rename(made, target);
  } finally {
    clearInterval(watching);
    await rm(folder, { recursive: true, force: true });
  }
}

function watchForStall(folder: string, stalled: AbortController): NodeJS.Timeout {
  let bytes = 0;
  let progressAt = performance.now();
  async function look(): Promise<void> {
    const now = await countBytes(folder);
    if (now !== bytes) progressAt = performance.now();
    bytes = now;
    if (performance.now() - progressAt > STALLED_MS) stalled.abort();
  }
  return setInterval(() => void look(), 1_000);
}

async function countBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => null)));
  return sizes.reduce((sum, stats) => sum + (stats?.size ?? 0), 0);
}

/** The SDK names it `temporal-sdk-typescript-…` or `temporal-cli-…`, and while it is incomplete adds `.downloading`. */
async function findDownload(folder: string): Promise<string | null> {
  for (const name of await readdir(folder)) {
    if (name.startsWith('temporal') && !name.endsWith('.downloading')) return join(folder, name);
  }
  return null;
}

/** The SDK's message is a chain of causes with the address in each; its end says what went wrong. */
function reason(log: string): string {
  const last = log.split('\n').findLast((line) => line.trim() !== '') ?? 'no reason given';
  return last.trim().split(': ').slice(-2).join(': ');
}
