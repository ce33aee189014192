/**
 * A lock between processes: a file that contains its owner's process ID.
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
 * Runs the work while this process holds the lock. Waits until the owner has released the lock or died. If two processes
 * find the same dead owner at the same moment, both may continue. The lock avoids duplicate work; it must not guard data.
 */
export async function withFileLock(path: string, log: Log, work: () => Promise<void>): Promise<void> {
  const ownFile = `${path}-${process.pid}-${randomBytes(6).toString('hex')}`;
  await writeFile(ownFile, String(process.pid));
  try {
    if (!(await tryLink(ownFile, path))) {
      await withProgress('waiting for another process that is doing the same work', log, () =>
        acquire(ownFile, path),
      );
    }
    try {
      await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(ownFile, { force: true });
  }
}

async function acquire(ownFile: string, path: string): Promise<void> {
  while (!(await tryLink(ownFile, path))) {
    const owner = await readFile(path, 'utf8').catch(() => null);
    // The lock was released since the attempt to link. Removing the path now could delete the next owner's lock.
    if (owner === null) continue;
    if (isAlive(Number(owner))) await delay(250);
    else await rm(path, { force: true });
  }
}

/** A link appears together with its content, whereas a newly created file is empty until it is written. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}
