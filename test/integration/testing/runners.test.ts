/** The files of docs/testing.md, in a project that has installed the package, with each test runner. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createUserProject } from '../../support/installed-package.ts';
import type { UserProject } from '../../support/installed-package.ts';
import { readBlocks } from '../../support/page-blocks.ts';
import { runnersOrReason } from '../../support/test-runners.ts';

const runners = await runnersOrReason();
const TSC = fileURLToPath(packageFile('node_modules/typescript/bin/tsc'));
const TSCONFIG = {
  compilerOptions: {
    target: 'ES2022',
    module: 'NodeNext',
    strict: true,
    types: ['node'],
    rootDir: 'src',
    outDir: 'dist',
    skipLibCheck: true,
  },
  include: ['src'],
};

describe('the files of docs/testing.md', { skip: runners.skip }, () => {
  let project: UserProject;
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase('empty');
    project = await createUserProject();
    for (const name of ['vitest', 'vite', 'jest', '@jest/globals'])
      await project.link(name, join(runners.folder, name));
    await project.write('tsconfig.json', JSON.stringify(TSCONFIG));
    for (const { file, text } of await readBlocks('docs/testing.md'))
      if (file) await project.write(file, text);
    await run([TSC]);
  });
  after(async () => {
    await project.remove();
    await database.drop();
  });

  /** Runs Node in the project. Returns what it printed. */
  async function run(args: string[]): Promise<string> {
    // A runner must not take itself for a part of this test run, and its output must not be that of a CI system.
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, CI: _ci, ...others } = process.env;
    const env = { ...others, DATABASE_URL: database.url };
    const running = promisify(execFile)(process.execPath, args, { cwd: project.folder, env });
    const { stdout, stderr } = await running.catch((error: { stdout: string; stderr: string }) => {
      assert.fail(`${args.join(' ')} failed:\n${error.stdout}\n${error.stderr}`);
    });
    return `${stdout}${stderr}`;
  }

  it('pass with node:test', async () => {
    const output = await run(['--test', 'dist/handlers.test.js', 'dist/flow.test.js']);
    assert.match(output, /pass 8\b/);
    assert.match(output, /fail 0\b/);
  });

  for (const pool of ['forks', 'threads'])
    it(`pass with Vitest and a pool of ${pool}`, async () => {
      const output = await run(['node_modules/vitest/vitest.mjs', 'run', `--pool=${pool}`, '--no-color']);
      assert.match(output, /Tests +3 passed \(3\)/);
    });

  it('pass with Jest, as ES modules and from CommonJS', async () => {
    const output = await run(['--experimental-vm-modules', 'node_modules/jest/bin/jest.js']);
    assert.match(output, /Test Suites: 2 passed, 2 total/);
    assert.match(output, /Tests: +4 passed, 4 total/);
  });
});
