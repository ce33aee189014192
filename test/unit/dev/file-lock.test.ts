import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { withFileLock } from '../../../src/dev/process/file-lock.ts';

void describe('withFileLock', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dev-file-lock-'));
  });
  after(() => rm(folder, { recursive: true }));

  void it('runs one piece of work at a time and leaves no files behind', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    const path = join(folder, 'busy');
    await Promise.all([1, 2, 3].map(() => withFileLock(path, () => {}, work)));
    assert.equal(most, 1);
    assert.deepEqual(await readdir(folder), []);
  });

  void it('releases the lock when the work fails', async () => {
    const path = join(folder, 'failing');
    const failed = withFileLock(
      path,
      () => {},
      () => Promise.reject(new Error('work failed')),
    );
    await assert.rejects(failed, /work failed/);
    await withFileLock(
      path,
      () => {},
      () => Promise.resolve(),
    );
  });

  void it('takes over the lock of a dead owner', async () => {
    const dead = spawnSync(process.execPath, ['--version']).pid;
    const path = join(folder, 'stale');
    await writeFile(path, String(dead));
    let done = false;
    await withFileLock(
      path,
      () => {},
      async () => void (done = await Promise.resolve(true)),
    );
    assert.ok(done);
  });
});
