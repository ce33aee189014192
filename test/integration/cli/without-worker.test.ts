/** The command line of a package that was installed for a sender: without Temporal's native worker. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';

const ROOT = fileURLToPath(packageFile(''));
const MISSING = ['worker', 'core-bridge', 'testing'];

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

describe('without @temporalio/worker, the command line', () => {
  let folder: string;
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
    folder = await mkdtemp(join(tmpdir(), 'sender-'));
    const modules = join(folder, 'node_modules');
    await mkdir(join(modules, '@temporalio'), { recursive: true });
    for (const path of ['dist', 'migrations', 'package.json'])
      await symlink(join(ROOT, path), join(folder, path));
    for (const name of await readdir(join(ROOT, 'node_modules')))
      if (name !== '@temporalio') await symlink(join(ROOT, 'node_modules', name), join(modules, name));
    const scope = join(ROOT, 'node_modules', '@temporalio');
    for (const name of await readdir(scope))
      if (!MISSING.includes(name)) await symlink(join(scope, name), join(modules, '@temporalio', name));
    await writeFile(join(folder, 'commands.mjs'), 'export const nothing = 1;');
  });
  after(async () => {
    await database.drop();
    await rm(folder, { recursive: true });
  });

  async function inbox(...args: string[]): Promise<Ended> {
    // Node looks for packages where the links are, not where they lead.
    const node = ['--preserve-symlinks', '--preserve-symlinks-main', 'dist/src/cli/main.js', ...args];
    const env = { ...process.env, DATABASE_URL: database.url, NODE_OPTIONS: '' };
    return promisify(execFile)(process.execPath, node, { cwd: folder, env }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: Ended) => error,
    );
  }

  it('shows its help, sends and lists commands', async () => {
    assert.equal((await inbox('--help')).code, 0);
    const sent = await inbox('send', 'Pay', '--id', 'pay-1', '--payload', '{}');
    assert.equal(sent.code, 0, sent.stderr);
    const { stdout } = await inbox('list', '--json');
    assert.match(stdout, /"messageId":\s*"pay-1"/);
  });

  for (const command of [['worker', 'commands.mjs'], ['dev']]) {
    it(`says which package \`inbox ${command[0]}\` needs, and how to install it`, async () => {
      const { code, stderr } = await inbox(...command);
      assert.notEqual(code, 0);
      assert.match(
        stderr,
        /a worker needs the package @temporalio\/worker, .*npm install @temporalio\/worker/s,
      );
      assert.doesNotMatch(stderr, /at .*node_modules/);
    });
  }
});
