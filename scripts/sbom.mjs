/**
 * `npm run --silent sbom`: prints a worker's dependencies as CycloneDX JSON on stdout. It runs npm's own command on the lock
 * file, so no packages need to be installed.
 *
 * npm gets a copy of the lock file in which @temporalio/worker is a dependency, as in every installation of a worker, and
 * which has no development packages, because `npm sbom --omit=dev` also omits the packages that development packages share
 * with a worker (https://github.com/npm/cli/issues/7909).
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const {
  devDependencies: _dev,
  peerDependencies,
  peerDependenciesMeta: _meta,
  ...manifest
} = JSON.parse(readFileSync(source('package.json'), 'utf8'));
manifest.dependencies['@temporalio/worker'] = peerDependencies['@temporalio/worker'];

const temporary = mkdtempSync(join(tmpdir(), 'temporal-inbox-sbom-'));
try {
  // npm uses the folder's name as the project's name.
  const folder = join(temporary, manifest.name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  copyFileSync(source('package-lock.json'), join(folder, 'package-lock.json'));
  const npm = (args, stdio) =>
    spawnSync('npm', args, { cwd: folder, stdio, shell: process.platform === 'win32' }).status ?? 1;
  // Removes the packages that only development needs from the copy of the lock file. This needs no network.
  const prune = [
    'install',
    '--package-lock-only',
    '--offline',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  process.exitCode =
    npm(prune, ['ignore', 'ignore', 'inherit']) ||
    npm(['sbom', '--package-lock-only', '--sbom-format=cyclonedx'], 'inherit');
} finally {
  rmSync(temporary, { recursive: true });
}
