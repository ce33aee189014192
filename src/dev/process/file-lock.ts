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
import { withProgress, type Log } from './progress.ts';

/**
 * Waits until the owner has let go or died. Two that find the same dead owner at the same moment may both go on: good
 * enough to save work, not to guard data.
 */
export async function withFileLock(path: string, log: Log, work: () => Promise<void>): Promise<void> {
  const mine = `${path}-${process.pid}-${randomBytes(6).toString('hex')}`;
  await writeFile(mine, String(process.pid));
  try {
    if (!(await tryLink(mine, path))) {
      await withProgress('waiting for another process that does the same', log, () => acquire(mine, path));
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

async function acquire(mine: string, path: string): Promise<void> {
  while (!(await tryLink(mine, path))) {
    const owner = await readFile(path, 'utf8').catch(() => null);
    // Gone since we looked: what is there by the time of a removal could be the next one's.
    if (owner === null) continue;
    if (isAlive(Number(owner))) await delay(250);
    else await rm(path, { force: true });
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
