/**
 * Postgres refuses to run as root. Where we are root, it runs as the system's user `postgres`.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { runsAsRoot, type SystemUser } from '../process/folders.ts';

const run = promisify(execFile);
const NAME = 'postgres';

/** Null when Postgres can run as we do. As root it makes the user when there is none. */
export async function findPostgresUser(): Promise<SystemUser | null> {
  if (!runsAsRoot()) return null;
  const known = await lookUp();
  if (known !== null) return known;
  try {
    await createUser();
  } catch (error) {
    throw new Error(
      `Postgres cannot run as root, and the user ${NAME} could not be made for it. ` +
        `Make one (useradd --system ${NAME}), run this as an ordinary user, or set DATABASE_URL to a running Postgres`,
      { cause: error },
    );
  }
  const created = await lookUp();
  if (created === null) throw new Error(`the user ${NAME} was made, but \`id ${NAME}\` does not know it`);
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
  // No home and no shell: nobody can log in as it.
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

/** Whether the user can enter the folder: tried, not worked out from modes, which ACLs and mounts overrule. */
export async function canEnter(folder: string, user: SystemUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { uid: user.uid, gid: user.gid, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}
