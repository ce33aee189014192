/**
 * Installs Prisma for its tests, once, into the user's cache: with its packages it has 306 MB, which `npm ci` of this
 * package should not install for everybody. `test/orm/prisma` says which versions.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { cp, lstat, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withFileLock } from '../../../src/dev/process/file-lock.ts';
import { defaultCacheDir, makeOwnFolder, removeLeftovers } from '../../../src/dev/process/folders.ts';
import { checkFolder } from '../../../src/dev/process/ownership.ts';
import { withProgress } from '../../../src/dev/process/progress.ts';
import { describeExit, runSupervised } from '../../../src/dev/process/supervise.ts';
import { packageFile } from '../../../src/platform/package-files.ts';

const SOURCE = fileURLToPath(packageFile('test/orm/prisma/'));
/** The installation depends on these files. */
const FILES = ['package.json', 'package-lock.json', 'schema.prisma'];

/** The folder with Prisma, or why it could not be installed. */
export type PrismaPackage = { folder: string; missing: null } | { folder: null; missing: string };

const log = (line: string) => void process.stderr.write(`${line}\n`);

export async function findPrisma(): Promise<PrismaPackage> {
  try {
    return { folder: await installPrisma(), missing: null };
  } catch (error) {
    const [cause] = (error instanceof Error ? error.message : String(error)).split('\n');
    const remedy = 'With a network, run `npm test -- adapters/prisma`, which installs it once.';
    return { folder: null, missing: `Prisma could not be installed. ${remedy} ${cause}` };
  }
}

async function installPrisma(): Promise<string> {
  const hash = createHash('sha256');
  for (const file of FILES) hash.update(await readFile(join(SOURCE, file)));
  const cache = defaultCacheDir();
  const folder = join(cache, `prisma-${hash.digest('hex').slice(0, 16)}`);
  await makeOwnFolder(cache);
  await withFileLock(`${folder}.lock`, log, async () => {
    if ((await lstat(folder).catch(() => null)) === null)
      await withProgress('installing Prisma for its tests (only once)', log, () => install(cache, folder));
  });
  await checkFolder(folder);
  return folder;
}

/** Installs elsewhere and then moves the folder into place, so that it is complete or missing. */
async function install(cache: string, folder: string): Promise<void> {
  await removeLeftovers(cache, '.installing-');
  const unfinished = await mkdtemp(join(cache, '.installing-'));
  try {
    for (const file of FILES) await cp(join(SOURCE, file), join(unfinished, file));
    // Nobody needs the scripts: they download engines that the client with a driver adapter does not use.
    const options = [
      '--ignore-scripts',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--fetch-retries=1',
      '--loglevel=error',
    ];
    await run(unfinished, [...npm(), 'ci', ...options]);
    const prisma = join(unfinished, 'node_modules/prisma/build/index.js');
    await run(unfinished, [process.execPath, prisma, 'generate', '--schema', 'schema.prisma']);
    await rename(unfinished, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

function npm(): string[] {
  const cli = process.env['npm_execpath'];
  if (cli !== undefined && /npm-cli\.[cm]?js$/.test(cli)) return [process.execPath, cli];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}

async function run(cwd: string, [command, ...args]: string[]): Promise<void> {
  const result = await runSupervised({
    command: command!,
    args,
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      // `prisma generate` downloads the schema engine unless it is given a program. It does not run it.
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
    cwd,
    logFile: join(cwd, 'install.log'),
    removeWhenOrphaned: [cwd],
  });
  if (result.code !== 0)
    throw new Error(`\`${[command, ...args].join(' ')}\`: ${describeExit(result)}: ${result.log}`);
}
