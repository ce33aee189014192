/**
 * A lock between processes: a file that names its owner.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from './error-code.ts';
import { isAlive } from './processes.ts';
import type { Log } from './progress.ts';

/**
 * Waits until the owner has let go or died. Two that find the same dead owner at the same moment may both go on: good
 * enough to save work, not to guard data.
 */
export async function withFileLock(path: string, log: Log, work: () => Promise<void>): Promise<void> {
  const mine = `${path}-${process.pid}-${randomBytes(6).toString('hex')}`;
  await writeFile(mine, String(process.pid));
  try {
    for (let waiting = false; !(await tryLink(mine, path)); waiting = true) {
      const owner = Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10);
      if (!isAlive(owner)) {
        await rm(path, { force: true });
        continue;
      }
      if (!waiting) log(`waiting for process ${owner}, which is doing the same`);
      await delay(250);
    }
    try {
      await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(mine, { force: true });
  }
}

/** A link appears with its content, unlike a file that is made and then written. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}
