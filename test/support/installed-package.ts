/**
 * A user's project with this package installed from its tarball. The other packages are those of this checkout.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../src/platform/package-files.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(packageFile(''));

export interface UserProject {
  folder: string;
  /** Writes a file of the project. */
  write(path: string, text: string): Promise<void>;
  /** Makes a folder available as the package of this name. */
  link(name: string, target: string): Promise<void>;
  remove(): Promise<void>;
}

/** @param without - packages that the user has not installed */
export async function createUserProject(without: readonly string[] = []): Promise<UserProject> {
  const folder = await mkdtemp(join(tmpdir(), 'inbox-user-'));
  const modules = join(folder, 'node_modules');
  async function write(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  async function link(name: string, target: string): Promise<void> {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await rm(join(modules, name), { force: true });
    await symlink(target, join(modules, name));
  }
  for (const name of await installedPackages())
    if (!without.includes(name)) await link(name, join(ROOT, 'node_modules', name));
  await unpack(folder, join(modules, 'temporal-inbox'));
  await write('package.json', '{ "name": "user", "type": "module" }');
  return { folder, write, link, remove: () => rm(folder, { recursive: true }) };
}

async function installedPackages(): Promise<string[]> {
  const modules = join(ROOT, 'node_modules');
  const names = (await readdir(modules)).filter((name) => !name.startsWith('.'));
  const nested = names
    .filter((name) => name.startsWith('@'))
    .map(async (scope) => (await readdir(join(modules, scope))).map((name) => `${scope}/${name}`));
  return [...names.filter((name) => !name.startsWith('@')), ...(await Promise.all(nested)).flat()];
}

async function unpack(folder: string, target: string): Promise<void> {
  // The package is built already.
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const { stdout } = await run('npm', args, { cwd: ROOT });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await mkdir(target, { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '-C', target, '--strip-components', '1']);
}
