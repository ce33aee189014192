/**
 * Who can change what is at a path. Anyone who can chooses what we run, or where we write.
 *
 * On Windows nothing is checked, because Node does not tell who owns a file there.
 *
 * @module
 */
import type { Stats } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
/** In such a folder, for example /tmp, only the owner of a file can rename or delete it. */
const STICKY = 0o1000;

/** Another user can change a file or folder that only we may change. */
export class NotOursError extends Error {
  override readonly name = 'NotOursError';

  constructor(
    readonly path: string,
    { uid, mode }: Stats,
    problemAndRemedy: string,
  ) {
    super(
      `${path} (user id ${uid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}) ${problemAndRemedy}`,
    );
  }
}

/**
 * Checks all folders above an existing path, and those that symbolic links among them lead to: each must belong to us or to
 * root, and nobody else may be able to rename what is in it.
 *
 * @throws NotOursError naming the folder in which another user could replace the path
 */
export async function checkAbove(path: string): Promise<void> {
  if (process.getuid !== undefined) await checkUpwards(dirname(resolve(path)), path);
}

async function checkUpwards(folder: string, path: string): Promise<void> {
  if (folder !== dirname(folder)) await checkUpwards(dirname(folder), path);
  const stats = await lstat(folder);
  if ((stats.uid !== process.getuid?.() && stats.uid !== 0) || othersCanRenameIn(stats)) {
    throw new NotOursError(
      folder,
      stats,
      `lets other users replace ${path}: choose a folder that only you can write to, or run \`chown\` and \`chmod go-w\` on this one`,
    );
  }
  if (stats.isSymbolicLink()) await checkUpwards(resolve(dirname(folder), await readlink(folder)), path);
}

/** Our own group is allowed: on many systems each user has one, and folders are writable for it by default. */
function othersCanRenameIn(stats: Stats): boolean {
  if (stats.isSymbolicLink() || (stats.mode & STICKY) !== 0) return false;
  const others =
    stats.gid === process.getgid?.() ? WRITABLE_BY_OTHERS : WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS;
  return (stats.mode & others) !== 0;
}

/**
 * Checks that a folder is a real one (no symbolic link) that belongs to us, and that nobody else can write to it or replace it.
 *
 * @throws NotOursError when it is not
 */
export async function checkFolder(path: string): Promise<void> {
  await checkAbove(path);
  const stats = await lstat(path);
  if (stats.isDirectory() && isOurs(stats)) return;
  throw new NotOursError(
    path,
    stats,
    'must be a folder that is yours and that nobody else can write to: move it away, or choose another one',
  );
}

/**
 * Checks a folder of programs with everything in it, before any of them is run.
 *
 * @throws NotOursError naming the first file that is not ours, or that others can write to
 */
export async function checkPrograms(folder: string): Promise<void> {
  await checkFolder(folder);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const stats = await lstat(path);
    if (stats.isDirectory()) await checkPrograms(path);
    else if (!isOurs(stats) || !isOurs(await stat(path))) {
      throw new NotOursError(
        path,
        stats,
        `is not run, because it must be yours and nobody else may write to it: delete ${folder} and try again`,
      );
    }
  }
}

function isOurs(stats: Stats): boolean {
  const us = process.getuid?.();
  if (us === undefined) return true;
  const writable = !stats.isSymbolicLink() && (stats.mode & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS)) !== 0;
  return stats.uid === us && !writable;
}

/**
 * Checks a program in the cache, for example by asking for its version, and returns the answer. Null if the program is missing or
 * does not run.
 *
 * @throws NotOursError, without running it, when others can change it
 */
export async function checkCached<T>(path: string, check: (path: string) => Promise<T>): Promise<T | null> {
  if ((await lstat(path).catch(() => null)) === null) return null;
  await checkPrograms(dirname(path));
  return check(path).catch(() => null);
}
