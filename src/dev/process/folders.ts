/**
 * Where the embedded servers keep their files, and who may read them.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { packageFile } from '../../platform/package-files.ts';
import { hasCode } from './error-code.ts';
import { checkAbove, checkFolder } from './ownership.ts';

/** An operating system user other than the current one. Only root can run a program as another user. */
export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

export const runsAsRoot = () => process.getuid?.() === 0;

/**
 * The folder for binaries that can be downloaded or built again: `~/.cache/temporal-inbox` or the equivalent on other
 * systems. For root it is always in root's own home, because `sudo` can preserve another user's HOME and XDG_CACHE_HOME.
 */
export function defaultCacheDir(): string {
  if (runsAsRoot()) return join(userInfo().homedir, '.cache', 'temporal-inbox');
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'temporal-inbox');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'temporal-inbox');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'temporal-inbox', 'cache');
  return join(homedir(), '.cache', 'temporal-inbox');
}

/**
 * The folder for data that `inbox dev` keeps between runs: `~/.local/share/temporal-inbox/dev` or the equivalent on other
 * systems. For root it is below /var/lib, because Postgres then runs as another user, who cannot enter root's home.
 */
export function defaultDevDir(): string {
  return join(dataDir(), 'dev');
}

/** Where this checkout's demo keeps its data. Other checkouts have their own folders and start with empty databases. */
export function demoDir(): string {
  const checkout = createHash('sha256').update(packageFile('').pathname).digest('hex').slice(0, 8);
  return join(dataDir(), `demo-${checkout}`);
}

function dataDir(): string {
  if (runsAsRoot()) return '/var/lib/temporal-inbox';
  const { XDG_DATA_HOME, LOCALAPPDATA } = process.env;
  if (XDG_DATA_HOME) return join(XDG_DATA_HOME, 'temporal-inbox');
  if (process.platform === 'darwin')
    return join(homedir(), 'Library', 'Application Support', 'temporal-inbox');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'temporal-inbox');
  return join(homedir(), '.local', 'share', 'temporal-inbox');
}

/**
 * Creates a folder with mode 0700 that belongs to the given user (by default the current user). An existing empty folder of
 * the current user is treated like a new one. The owner and mode of a folder with content are never changed, because the
 * folder may serve another purpose; /tmp is an example.
 *
 * @throws Error when the path is not a folder (a symbolic link, for example), belongs to another user, or can be replaced by
 *   another user
 */
export async function makePrivateFolder(path: string, user: SystemUser | null = null): Promise<void> {
  await makeParents(dirname(path));
  const created = await makeFolder(path, 0o700);
  await checkAbove(path);
  const stats = await lstat(path);
  if (!stats.isDirectory()) throw new Error(`${path} is not a folder: move it or choose another path`);
  const ownUid = process.getuid?.();
  if (ownUid === undefined) return;
  if (created || (stats.uid === ownUid && (await readdir(path)).length === 0)) {
    await chmod(path, 0o700);
    if (user !== null) await chown(path, user.uid, user.gid);
    return;
  }
  const owner = user?.uid ?? ownUid;
  if (stats.uid === owner && (stats.mode & 0o077) === 0) return;
  throw new Error(
    `${path} cannot be used: it must belong to ${user?.name ?? 'you'} (user id ${owner}) and have mode 0700, ` +
      `but it belongs to user id ${stats.uid} and has mode 0${(stats.mode & 0o777).toString(8)}. ` +
      'Choose another folder, or change its owner and mode',
  );
}

/**
 * Creates a folder that others may read but only the current user can write to. It holds programs, or the settings file that
 * people source in their shell. Others must be able to read it because under root, Postgres runs as another user.
 *
 * @throws NotOursError when the folder exists and is a symbolic link, belongs to another user, or can be changed by
 *   another user
 */
export async function makeOwnFolder(path: string): Promise<void> {
  await makeParents(path);
  await checkFolder(path);
}

const LEFTOVER_AGE_MS = 3_600_000;

/** Deletes remains of interrupted copies, builds and downloads after an hour. None of these takes that long. */
export async function removeLeftovers(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    const stats = await lstat(path).catch(() => null);
    if (stats !== null && Date.now() - stats.mtimeMs > LEFTOVER_AGE_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** Creates the missing folders. Root's get mode 0755 regardless of the umask, so that others can pass through them. */
export async function makeParents(path: string): Promise<void> {
  try {
    if ((await makeFolder(path, 0o755)) && runsAsRoot()) await chmod(path, 0o755);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    await makeParents(dirname(path));
    await makeParents(path);
  }
}

/** Returns false when the path already exists. */
async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}
