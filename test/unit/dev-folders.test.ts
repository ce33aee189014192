import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makePrivateFolder, makeProgramFolder } from '../../src/dev/folders.ts';

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

void describe('folders of the embedded servers', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'dev-folders-'));
  });
  after(() => rm(root, { recursive: true }));

  void it('makes a private folder, with what is above it, and finds it again', async () => {
    const path = join(root, 'a', 'b', 'private');
    await makePrivateFolder(path);
    await writeFile(join(path, 'file'), '');
    await makePrivateFolder(path);
    assert.equal(await modeOf(path), 0o700);
  });

  void it('closes an empty folder to others, and leaves alone one with something in it', async () => {
    const path = join(root, 'open');
    await mkdir(path);
    await chmod(path, 0o755);
    await makePrivateFolder(path);
    assert.equal(await modeOf(path), 0o700);

    await writeFile(join(path, 'file'), '');
    await chmod(path, 0o755);
    await assert.rejects(makePrivateFolder(path), /open is in use for something else.* mode 0755/);
    assert.equal(await modeOf(path), 0o755);
  });

  void it('runs nothing from a folder that others can write to', async () => {
    const path = join(root, 'programs');
    await makeProgramFolder(path);
    await makeProgramFolder(path);
    await chmod(path, 0o777);
    await assert.rejects(makeProgramFolder(path), /nobody else can write/);
  });
});
