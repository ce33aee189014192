/**
 * `npm run --silent sbom`: lists the packages that a worker is made of, as CycloneDX JSON on stdout. npm's own command does it,
 * from the lock file, so nothing has to be installed.
 *
 * It runs on a copy of the lock file without the packages for development: `npm sbom --omit=dev` leaves out all that they share
 * with a worker, too (https://github.com/npm/cli/issues/7909).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const read = (name) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));

const manifest = read('package.json');
const lock = read('package-lock.json');
delete manifest.devDependencies;
delete lock.packages[''].devDependencies;
for (const [path, { dev }] of Object.entries(lock.packages)) if (dev) delete lock.packages[path];

const temporary = mkdtempSync(join(tmpdir(), 'temporal-inbox-sbom-'));
try {
  // npm names the project after its folder.
  const folder = join(temporary, manifest.name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  const args = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx'];
  const { status } = spawnSync('npm', args, {
    cwd: folder,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(temporary, { recursive: true });
}
