/**
 * Where the embedded servers' files live, and who may read them.
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

/** A user of the system that is not us; only root can run something as one. */
export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

export const runsAsRoot = () => process.getuid?.() === 0;

/**
 * Binaries that can be downloaded or built again: `~/.cache/temporal-inbox` and its like on other systems. Root's are always in
 * root's own home: HOME and XDG_CACHE_HOME may be another user's, because `sudo` can keep them.
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
 * What `inbox dev` keeps between its runs: `~/.local/share/temporal-inbox/dev` and its like. Root's is below /var/lib,
 * since Postgres has to run as another user there, and that one cannot enter root's home.
 */
export function defaultDevDir(): string {
  return join(dataDir(), 'dev');
}

/** Where the demo of this checkout keeps its data: another checkout's demo starts anew. */
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
 * A folder of mode 0700 that is the user's (ours by default). An empty one of ours is as good as new; one with something
 * in it is never changed, since it may be anybody's, /tmp for one.
 *
 * @throws Error when it is not a folder (but a symbolic link, for example), is another user's, or can be replaced by one
 */
export async function makePrivateFolder(path: string, user: SystemUser | null = null): Promise<void> {
  await makeParents(dirname(path));
  const created = await makeFolder(path, 0o700);
  await checkAbove(path);
  const stats = await lstat(path);
  if (!stats.isDirectory()) throw new Error(`${path} is in the way: it is not a folder; move it`);
  const us = process.getuid?.();
  if (us === undefined) return;
  if (created || (stats.uid === us && (await readdir(path)).length === 0)) {
    await chmod(path, 0o700);
    if (user !== null) await chown(path, user.uid, user.gid);
    return;
  }
  const owner = user?.uid ?? us;
  if (stats.uid === owner && (stats.mode & 0o077) === 0) return;
  throw new Error(
    `${path} is in use for something else: it must belong to ${user?.name ?? 'you'} (user id ${owner}) alone, with ` +
      `mode 0700, and belongs to user id ${stats.uid} with mode 0${(stats.mode & 0o777).toString(8)}. ` +
      'Choose another folder, or change its owner and mode',
  );
}

/**
 * Makes a folder that others may read but only we can write to. It holds programs, or the file of settings that people source in
 * their shell. Others must be able to read it because root's Postgres runs as another user.
 *
 * @throws NotOursError when it is there already and is a symbolic link, is another user's, or can be changed by one
 */
export async function makeOwnFolder(path: string): Promise<void> {
  await makeParents(path);
  await checkFolder(path);
}

const LEFTOVER_AGE_MS = 3_600_000;

/** Deletes what an interrupted copy, build or download left behind: nothing of the kind takes an hour. */
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

/** Makes the folders that are missing. Root's can be passed through by others, whatever the umask says. */
export async function makeParents(path: string): Promise<void> {
  try {
    if ((await makeFolder(path, 0o755)) && runsAsRoot()) await chmod(path, 0o755);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    await makeParents(dirname(path));
    await makeParents(path);
  }
}

/** False when it is there already. */
async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}
