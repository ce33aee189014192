/**
 * Follows docs/getting-started.md block by block in an empty folder. Instead of installing packages, it links those of this
 * checkout, because a test must not depend on a registry. `inbox dev` uses the servers of the tests.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { choosePort } from '../../../src/dev/process/ports.ts';
import { readBlocks } from '../../support/page-blocks.ts';
import { runnersOrReason } from '../../support/test-runners.ts';
import { eventually } from '../../support/wait.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(packageFile(''));
const MODULES = join(ROOT, 'node_modules');

/** Without Vitest, its two blocks are left out. */
const runners = await runnersOrReason();

const INSTALL = /^npm install (?:--save-dev )?/;

describe('docs/getting-started.md', () => {
  let inbox: TestInbox;
  /** Temporary; `folder` is where the reader is. */
  let root: string;
  let folder: string;
  let dev: ChildProcess | undefined;
  let devOutput = '';
  let server: ChildProcess | undefined;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    inbox = await createTestInbox();
    folder = root = await mkdtemp(join(tmpdir(), 'getting-started-'));
    // The test runner sets this variable. The reader's `node --test` must not take itself for a part of this run.
    const { NODE_TEST_CONTEXT: _own, ...others } = process.env;
    env = {
      ...others,
      DATABASE_URL: inbox.database.url,
      INBOX_TASK_QUEUE: inbox.taskQueue,
      PORT: String(await choosePort()),
    };
  });
  after(async () => {
    for (const child of [server, dev]) {
      if (!child || child.exitCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    await inbox.close();
    await rm(root, { recursive: true });
  });

  /** Makes the packages of an install line available, as the registry would. */
  async function link(names: string[]): Promise<void> {
    const modules = join(folder, 'node_modules');
    for (const name of names) {
      const target =
        name === 'temporal-inbox' ? ROOT : join(name === 'vitest' ? runners.folder : MODULES, name);
      assert.ok(
        (await readFile(join(target, 'package.json'), 'utf8')).includes(`"${name}"`),
        `there is a package ${name}`,
      );
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await symlink(target, join(modules, name));
    }
    await mkdir(join(modules, '.bin'), { recursive: true });
    if (names.includes('temporal-inbox')) {
      // npm makes the file executable when it installs the package.
      const script = `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'dist/src/cli/main.js')}" "$@"\n`;
      await writeFile(join(modules, '.bin/inbox'), script, { mode: 0o755 });
    }
    if (names.includes('typescript')) await symlink(join(MODULES, '.bin/tsc'), join(modules, '.bin/tsc'));
    if (names.includes('vitest'))
      await symlink(join(runners.folder, '.bin/vitest'), join(modules, '.bin/vitest'));
  }

  /** One line of a shell block. Returns what it printed. */
  async function type(line: string): Promise<string> {
    if (line === 'mkdir shop && cd shop') {
      await mkdir((folder = join(folder, 'shop')));
      return '';
    }
    if (INSTALL.test(line)) {
      await link(line.replace(INSTALL, '').split(' '));
      return '';
    }
    if (line.startsWith('npx inbox dev ')) {
      dev = spawn('sh', ['-c', `exec ${line.replace('npx ', './node_modules/.bin/')} --dir ./servers`], {
        cwd: folder,
        env,
      });
      for (const stream of [dev.stdout!, dev.stderr!])
        stream.setEncoding('utf8').on('data', (text: string) => (devOutput += text));
      await eventually(`${line} works`, () => dev!.exitCode !== null || devOutput.includes('worker started'));
      assert.equal(dev.exitCode, null, devOutput);
      return devOutput;
    }
    if (line === 'node dist/server.js') {
      server = spawn(process.execPath, ['dist/server.js'], {
        cwd: folder,
        env,
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      await eventually('the server answers', () =>
        fetch(`http://localhost:${env['PORT']}/`).then(
          () => true,
          () => server!.exitCode !== null,
        ),
      );
      assert.equal(server.exitCode, null);
      return '';
    }
    const psql = /^psql "\$DATABASE_URL" -c (['"])(.+)\1$/.exec(line);
    if (psql) {
      await inbox.pool.query(psql[2]!);
      return '';
    }
    // npx itself asks a registry when a package is missing; that the command is there was checked above.
    const command = line
      .replace(/^npx /, './node_modules/.bin/')
      .replace('localhost:3000', `localhost:${env['PORT']}`);
    const { stdout } = await run('sh', ['-c', command], {
      cwd: folder,
      env,
    });
    return stdout;
  }

  /** Repeats what shows a command until the command is settled. Returns what it printed then. */
  const typeUntilSettled = (line: string) =>
    eventually(`${line} shows a settled command`, async () => {
      const printed = await type(line);
      if (line.startsWith('npx inbox show')) return /status +(DeadLetter|Completed)/.test(printed) && printed;
      if (line.startsWith('curl localhost')) return printed.includes('Completed') && printed;
      return `${printed} `;
    });

  it('can be followed from the first block to the last', async () => {
    const output: string[] = [];
    for (const { language, file, text } of await readBlocks('docs/getting-started.md')) {
      if (runners.skip && text.includes('vitest')) continue;
      if (language === 'sh') {
        for (const line of text.trim().split('\n')) {
          const printed = await typeUntilSettled(line);
          output.push(`$ ${line}\n${printed}`);
        }
      } else {
        assert.ok(file, `a block of ${language} names its file`);
        await mkdir(dirname(join(folder, file)), { recursive: true });
        await writeFile(join(folder, file), text);
      }
    }
    const all = output.join('\n');
    assert.match(all, /status +DeadLetter[\s\S]*UnknownProduct[\s\S]*status +Completed/);
    assert.match(all, /order-1 duplicate/);
    assert.match(
      all,
      /"answer":"accepted"[\s\S]*"answer":"duplicate"[\s\S]*"status":"Completed","result":\{"free":5\}/,
    );
    assert.match(all, /pass 2\b[\s\S]*pass 4\b/);
    if (!runners.skip) assert.match(all, /Tests +1 passed/);
    assert.ok(all.includes('npx tsc'), 'the blocks were read');
  });
});
