/**
 * Postgres refuses to run as root. When the current user is root, Postgres runs as the system user `postgres`.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { runsAsRoot, type SystemUser } from '../process/folders.ts';

const run = promisify(execFile);
const NAME = 'postgres';

/** Returns null when Postgres can run as the current user. Under root, creates the user if it does not exist. */
export async function findPostgresUser(): Promise<SystemUser | null> {
  if (!runsAsRoot()) return null;
  const known = await lookUp();
  if (known !== null) return known;
  try {
    await createUser();
  } catch (error) {
    throw new Error(
      `Postgres cannot run as root, and its user ${NAME} could not be created. Create the user ` +
        `(useradd --system ${NAME}), run this command as an ordinary user, or set DATABASE_URL to a running Postgres`,
      { cause: error },
    );
  }
  const created = await lookUp();
  if (created === null) throw new Error(`the user ${NAME} was created, but \`id ${NAME}\` does not find it`);
  return created;
}

async function lookUp(): Promise<SystemUser | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', NAME]), run('id', ['-g', NAME])]);
    return { name: NAME, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

async function createUser(): Promise<void> {
  // Without a home and a shell nobody can log in as this user.
  const common = [
    '--system',
    '--no-create-home',
    '--home-dir',
    '/nonexistent',
    '--shell',
    '/usr/sbin/nologin',
  ];
  await run('useradd', [...common, '--user-group', NAME]);
}

/** Tries to enter the folder as the user. The folder's mode alone is not reliable, because ACLs and mounts override it. */
export async function canEnter(folder: string, user: SystemUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { uid: user.uid, gid: user.gid, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}
