/**
 * The folder of an embedded Postgres: `pgdata/` (its cluster), `password` and `postgres.log`. It has mode 0700 and
 * belongs to the user that Postgres runs as.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chown, link, lstat, mkdtemp, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { hasCode } from '../process/error-code.ts';
import { makePrivateFolder, type SystemUser } from '../process/folders.ts';
import type { PostgresBinaries } from './binaries.ts';
import { postgresEnv } from './env.ts';
import { canEnter } from './user.ts';
import { isAlive, isRunning, waitUntilGone } from '../process/processes.ts';
import type { Log } from '../process/progress.ts';

export const SUPERUSER = 'inbox';

export interface PostgresFolder {
  path: string;
  pgdata: string;
  logFile: string;
  password: string;
  /** True when the folder is deleted after the server has stopped. */
  temporary: boolean;
}

/** How long to wait for a server that is stopping because its owner died, before the folder counts as in use. */
const STOPPING_MS = 5_000;

/** Opens a persistent folder, or creates a temporary one. */
export async function openPostgresFolder(
  path: string | undefined,
  user: SystemUser | null,
): Promise<PostgresFolder> {
  const folder = path ?? (await makeTemporaryFolder(user));
  if (path !== undefined) {
    await makePrivateFolder(path, user);
    if (user !== null && !(await canEnter(path, user))) {
      throw new Error(
        `under root, Postgres runs as the user ${user.name}, who cannot enter ${path}; ` +
          "choose a folder outside private folders such as root's home",
      );
    }
  }
  return {
    path: folder,
    pgdata: join(folder, 'pgdata'),
    logFile: join(folder, 'postgres.log'),
    password: await readOrMakePassword(folder, user),
    temporary: path === undefined,
  };
}

/** Ensures that the folder has a complete cluster that no other server uses. Logs every repair. */
export async function prepareCluster(
  folder: PostgresFolder,
  binaries: PostgresBinaries,
  user: SystemUser | null,
  log: Log,
): Promise<void> {
  await removeUnfinished(folder);
  const version = await readVersion(folder.pgdata);
  if (version === null) {
    await setAside(folder, log);
    await createCluster(folder, binaries, user);
  } else if (version !== binaries.major) {
    throw new Error(
      `${folder.path} was created by Postgres ${version}; Postgres ${binaries.major} cannot read it. ` +
        'Delete the folder to start with an empty database; to keep the data, dump it with the old version first',
    );
  }
  await releasePidFile(folder, log);
}

/** Returns true when a server that did not stop cleanly has left its pid file. */
export async function hasPidFile(folder: PostgresFolder): Promise<boolean> {
  return (await lstat(join(folder.pgdata, 'postmaster.pid')).catch(() => null)) !== null;
}

async function makeTemporaryFolder(user: SystemUser | null): Promise<string> {
  for (const parent of [tmpdir(), '/tmp', '/var/tmp']) {
    if (user !== null && !(await canEnter(parent, user))) continue;
    const folder = await mkdtemp(join(parent, 'temporal-inbox-postgres-'));
    if (user !== null) await chown(folder, user.uid, user.gid);
    return folder;
  }
  throw new Error(
    `the user ${user?.name} cannot enter any folder for temporary files; set TMPDIR to a folder that this user can enter`,
  );
}

/** The first process to link its file wins. An existing file is always complete. */
async function readOrMakePassword(folder: string, user: SystemUser | null): Promise<string> {
  const path = join(folder, 'password');
  const made = join(folder, `.password-${process.pid}-${randomBytes(6).toString('hex')}`);
  const file = await open(made, 'wx', 0o600);
  try {
    await file.writeFile(randomBytes(24).toString('base64url'));
    if (user !== null) await file.chown(user.uid, user.gid);
    await link(made, path).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
  } finally {
    await file.close();
    await rm(made, { force: true });
  }
  const noFollow = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;
  return (await readFile(path, { encoding: 'utf8', flag: constants.O_RDONLY | noFollow })).trim();
}

async function readVersion(pgdata: string): Promise<string | null> {
  // initdb writes PG_VERSION early and pg_control late, so a complete cluster has both.
  if ((await lstat(join(pgdata, 'global', 'pg_control')).catch(() => null)) === null) return null;
  const text = await readFile(join(pgdata, 'PG_VERSION'), 'utf8').catch(() => '');
  // Postgres's user could write anything into this file, and the result is shown to root.
  return /^[\d.]+$/.exec(text.trim())?.[0] ?? null;
}

async function setAside(folder: PostgresFolder, log: Log): Promise<void> {
  if ((await lstat(folder.pgdata).catch(() => null)) === null) return;
  const aside = `${folder.pgdata}.broken-${Date.now()}`;
  await rename(folder.pgdata, aside);
  log(
    `${folder.pgdata} was not a complete Postgres cluster; it was moved to ${aside}, and a new one is created`,
  );
}

/** initdb works in a separate folder, which is then renamed to `pgdata`, so `pgdata` never holds an incomplete cluster. */
async function createCluster(
  folder: PostgresFolder,
  binaries: PostgresBinaries,
  user: SystemUser | null,
): Promise<void> {
  const unfinished = `${folder.pgdata}.new-${process.pid}`;
  const args = [
    `--pgdata=${unfinished}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${join(folder.path, 'password')}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    // Losing a temporary cluster in a power failure does no harm.
    ...(folder.temporary ? ['--no-sync'] : []),
  ];
  try {
    await promisify(execFile)(binaries.initdb, args, {
      cwd: dirname(unfinished),
      env: postgresEnv(),
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    });
    await rename(unfinished, folder.pgdata);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another process created the cluster first. The check of the pid file detects whether a server already uses it.
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return;
    throw new Error(`initdb could not create a Postgres cluster in ${folder.path}: ${describe(error)}`, {
      cause: error,
    });
  }
}

async function removeUnfinished(folder: PostgresFolder): Promise<void> {
  for (const name of await readdir(folder.path)) {
    const pid = /^pgdata\.new-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)))) {
      await rm(join(folder.path, name), { recursive: true, force: true });
    }
  }
}

/** Postgres itself removes the pid file of a dead server, but not if another program now has the same pid. */
async function releasePidFile(folder: PostgresFolder, log: Log): Promise<void> {
  const path = join(folder.pgdata, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10);
  if (Number.isNaN(pid) || !isAlive(pid)) return;
  if (!(await isRunning(pid, folder.pgdata))) {
    log(`removed ${path}: it names process ${pid}, which is now another program`);
    await rm(path, { force: true });
    return;
  }
  if (await waitUntilGone(pid, folder.pgdata, STOPPING_MS)) return;
  throw new Error(
    `another Postgres server is already running in ${folder.path}: process ${pid}. ` +
      `Use that server, stop it (kill -INT ${pid}), or choose another folder`,
  );
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stderr = 'stderr' in error ? String(error.stderr).trim() : '';
  return stderr || error.message;
}
