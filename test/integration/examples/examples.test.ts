/** Runs each example as its reader would. The comments at the end of its `console.log` lines say what it prints, in order. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const run = promisify(execFile);
const files = (await readdir(packageFile('examples/'))).filter(
  (file) => file.endsWith('.ts') && file !== 'with-worker.ts',
);

describe('examples', () => {
  let inbox: TestInbox;
  before(async () => (inbox = await createTestInbox()));
  after(() => inbox.close());

  it('are at least ten', () => assert.ok(files.length >= 10));

  for (const file of files) {
    it(`${file} prints what its comments say, and imports the package by its name`, async () => {
      const source = await readFile(packageFile(`examples/${file}`), 'utf8');
      assert.doesNotMatch(source, /from '\.\.\//);
      assert.match(source, /from 'temporal-inbox'/);
      const expected = [...source.matchAll(/; \/\/ (.+)$/gm)].map(([, text]) => text);
      assert.ok(expected.length > 0, 'it says what it prints');
      const script = fileURLToPath(packageFile(`dist/examples/${file.replace(/ts$/, 'js')}`));
      const { stdout } = await run(process.execPath, [script], {
        // TEMPORAL_DEBUG runs workflows without a thread, which starts faster.
        env: {
          ...process.env,
          TEMPORAL_DEBUG: '1',
          DATABASE_URL: inbox.database.url,
          INBOX_TASK_QUEUE: inbox.taskQueue,
        },
      });
      assert.deepEqual(stdout.trim().split('\n'), expected);
    });
  }
});
