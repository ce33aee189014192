/**
 * Checks who can change a file or folder. Anyone who can change it decides what this process runs or where it writes.
 *
 * On Windows nothing is checked, because Node does not report file owners there.
 *
 * @module
 */
import type { Stats } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
/** In a folder with this bit, for example /tmp, only a file's owner can rename or delete the file. */
const STICKY = 0o1000;

/** Another user can change a file or folder that only the current user may change. */
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
 * Checks all folders above an existing path, and the targets of symbolic links among them. Each must belong to the
 * current user or to root, and nobody else may be able to rename its content.
 *
 * @throws NotOursError with the folder in which another user could replace the path
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

/** The user's own group may write: on many systems that group is private, and folders are group-writable by default. */
function othersCanRenameIn(stats: Stats): boolean {
  if (stats.isSymbolicLink() || (stats.mode & STICKY) !== 0) return false;
  const others =
    stats.gid === process.getgid?.() ? WRITABLE_BY_OTHERS : WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS;
  return (stats.mode & others) !== 0;
}

/**
 * Checks that a path is a folder (not a symbolic link) that belongs to the current user and that nobody else can write to or
 * replace.
 *
 * @throws NotOursError when the check fails
 */
export async function checkFolder(path: string): Promise<void> {
  await checkAbove(path);
  const stats = await lstat(path);
  if (stats.isDirectory() && isOurs(stats)) return;
  throw new NotOursError(
    path,
    stats,
    'must be a folder that belongs to you and that nobody else can write to: move it, or choose another folder',
  );
}

/**
 * Checks a folder of programs and everything in it, before any of the programs runs.
 *
 * @throws NotOursError with the first file that belongs to another user or that others can write to
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
        `was not run: it must belong to you, and nobody else may be able to write to it; delete ${folder} and try again`,
      );
    }
  }
}

function isOurs(stats: Stats): boolean {
  const ownUid = process.getuid?.();
  if (ownUid === undefined) return true;
  const writable = !stats.isSymbolicLink() && (stats.mode & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS)) !== 0;
  return stats.uid === ownUid && !writable;
}

/**
 * Runs `check` on a program in the cache, for example to read its version, and returns the result. Returns null if the
 * program is missing or does not run.
 *
 * @throws NotOursError, without running the program, when another user can change it
 */
export async function checkCached<T>(path: string, check: (path: string) => Promise<T>): Promise<T | null> {
  if ((await lstat(path).catch(() => null)) === null) return null;
  await checkPrograms(dirname(path));
  return check(path).catch(() => null);
}
