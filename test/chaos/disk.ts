/**
 * A small disk of its own for Postgres, to be filled up. Mounting one takes root on Linux; without it there is none, and
 * that fault is left out.
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
  /** Nothing more can be written from now on. */
  fill(): Promise<void>;
  drain(): Promise<void>;
  unmount(): Promise<void>;
}

const run = promisify(execFile);

/** Null where it cannot be mounted. */
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
      // Others write in the meantime: what is asked for may be too much by a little, and then it is full as well.
      await run('fallocate', ['-l', String(Math.max(1, bavail) * bsize), ballast]).catch(() => {});
    },
    drain: () => rm(ballast, { force: true }),
    async unmount() {
      // Lazily: what the server leaves behind for a moment must not keep it.
      await run('umount', ['--lazy', path]);
      await rm(path, { recursive: true });
    },
  };
}
