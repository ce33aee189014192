/**
 * The releases whose workers take part in a chaos run: this checkout, and an earlier release that is built from git.
 *
 * Both use the commands and the publisher of this checkout. These use only the public interface, so the earlier release can
 * load them: their compiled files are copied into its folder.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { defaultCacheDir, makeOwnFolder } from '../../src/dev/process/folders.ts';
import { packageFile } from '../../src/platform/package-files.ts';
import type { ReleaseName } from './bank.ts';

export interface Release {
  name: ReleaseName;
  /** For display. */
  version: string;
  cli: string;
  /** URL of the module with its commands. */
  commands: string;
  /** Path of the module that publishes its events. */
  publisher: string;
  /** Whether it can run workflows whose type is the command's type. */
  typedWorkflows: boolean;
}

const run = promisify(execFile);

/** Compiled modules in this folder. They import only each other, the package's index and other packages. */
const SHARED = ['bank.js', 'fleet-commands.js', 'broker-publisher.js'];

const checkout = fileURLToPath(packageFile(''));
const here = dirname(fileURLToPath(import.meta.url));

const git = async (...args: string[]) => (await run('git', args, { cwd: checkout })).stdout.trim();

export function releaseOfThisCheckout(): Release {
  return describe('newer', 'this checkout', checkout, here);
}

/**
 * Builds a commit once and keeps the result in the cache. It uses the node_modules of this checkout.
 *
 * @param ref - a commit, a tag or a branch
 */
export async function buildRelease(ref: string, say: (line: string) => void): Promise<Release> {
  const commit = await git('rev-parse', '--verify', `${ref}^{commit}`);
  const releases = join(defaultCacheDir(), 'releases');
  await makeOwnFolder(releases);
  const folder = join(releases, commit);
  if ((await readFile(join(folder, 'dist', 'src', 'cli', 'main.js')).catch(() => null)) === null) {
    say(`building ${ref} (${commit.slice(0, 8)})`);
    const building = await mkdtemp(join(releases, 'building-'));
    try {
      const archive = join(building, 'source.tar');
      await git('archive', '--output', archive, commit);
      await run('tar', ['-xf', archive, '-C', building]);
      await rm(archive);
      await symlink(join(checkout, 'node_modules'), join(building, 'node_modules'));
      await run('npm', ['run', 'build'], { cwd: building });
      await rename(building, folder);
    } finally {
      await rm(building, { recursive: true, force: true });
    }
  }
  return describe('older', `${ref} (${commit.slice(0, 8)})`, folder, await share(folder));
}

/** Copies the modules to where their imports resolve to the other release. Each version of them gets its own folder. */
async function share(folder: string): Promise<string> {
  const contents = await Promise.all(SHARED.map((file) => readFile(join(here, file))));
  const hash = createHash('sha256').update(Buffer.concat(contents)).digest('hex').slice(0, 12);
  const target = join(folder, 'dist', 'test', `chaos-${hash}`);
  await mkdir(target, { recursive: true });
  await Promise.all(SHARED.map((file) => copyFile(join(here, file), join(target, file))));
  return target;
}

function describe(name: ReleaseName, version: string, folder: string, modules: string): Release {
  return {
    name,
    version,
    cli: join(folder, 'dist', 'src', 'cli', 'main.js'),
    commands: pathToFileURL(join(modules, 'fleet-commands.js')).href,
    publisher: join(modules, 'broker-publisher.js'),
    typedWorkflows: existsSync(join(folder, 'dist', 'src', 'temporal', 'command-workflow.js')),
  };
}
