/**
 * Vitest and Jest, for the tests of the testing kit. They are large, so they are installed into the user's cache when a test
 * needs them, in the versions of `test/runners/package-lock.json`.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, lstat, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { defaultCacheDir, makeOwnFolder, removeLeftovers } from '../../src/dev/process/folders.ts';
import { withFileLock } from '../../src/dev/process/file-lock.ts';
import { packageFile } from '../../src/platform/package-files.ts';

const MANIFESTS = ['package.json', 'package-lock.json'];
const INSTALL_LIMIT_MS = 300_000;

/**
 * Returns the folder that contains the packages `vitest` and `jest`, and all that they need.
 *
 * @throws Error if they cannot be installed
 */
export async function findTestRunners(): Promise<string> {
  const lock = await readFile(packageFile('test/runners/package-lock.json'));
  const cache = defaultCacheDir();
  const name = `test-runners-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`;
  const folder = join(cache, name);
  await makeOwnFolder(cache);
  await withFileLock(
    `${folder}.lock`,
    () => {},
    async () => {
      if ((await lstat(folder).catch(() => null)) === null) await install(cache, folder);
    },
  );
  return join(folder, 'node_modules');
}

async function install(cache: string, target: string): Promise<void> {
  await removeLeftovers(cache, '.runners-');
  const unfinished = await mkdtemp(join(cache, '.runners-'));
  try {
    for (const file of MANIFESTS)
      await copyFile(fileURLToPath(packageFile(`test/runners/${file}`)), join(unfinished, file));
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', args, { cwd: unfinished, timeout: INSTALL_LIMIT_MS });
    await rename(unfinished, target);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** The folder of {@link findTestRunners}, or the reason to skip tests that need it. In CI, they must not be skipped. */
export async function runnersOrReason(): Promise<
  { folder: string; skip: false } | { folder: ''; skip: string }
> {
  try {
    return { folder: await findTestRunners(), skip: false };
  } catch (error) {
    if (process.env['CI']) throw error;
    return { folder: '', skip: `Vitest and Jest could not be installed: ${String(error).split('\n')[0]}` };
  }
}
