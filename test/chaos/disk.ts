/**
 * A small disk for Postgres that a fault can fill. Mounting it takes root on Linux. Without root there is no such disk, and
 * the fault is left out.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface SmallDisk {
  path: string;
  /** Fills the disk, so that nothing more can be written until `drain`. */
  fill(): Promise<void>;
  drain(): Promise<void>;
  unmount(): Promise<void>;
}

const run = promisify(execFile);

/** Returns null if the disk cannot be mounted. */
export async function mountSmallDisk(megabytes: number): Promise<SmallDisk | null> {
  const path = await mkdtemp(join(tmpdir(), 'temporal-inbox-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'tmpfs', path]);
  } catch {
    await rm(path, { recursive: true });
    return null;
  }
  await chmod(path, 0o755);
  const ballast = join(path, 'ballast');
  return {
    path,
    async fill() {
      const { bavail, bsize } = await statfs(path);
      // Postgres writes in the meantime, so this may be slightly more than is free. Then the disk is full anyway.
      await run('fallocate', ['-l', String(Math.max(1, bavail) * bsize), ballast]).catch(() => {});
    },
    drain: () => rm(ballast, { force: true }),
    async unmount() {
      // Lazily, because processes of the stopped server may use the disk for another moment.
      await run('umount', ['--lazy', path]);
      await rm(path, { recursive: true });
    },
  };
}
