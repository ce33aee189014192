import assert from 'node:assert/strict';
import { chmod, chown, lchown, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defaultCacheDir, makeOwnFolder, makePrivateFolder } from '../../../src/dev/process/folders.ts';
import { startServers } from '../../../src/dev/servers.ts';
import { startTemporalServer } from '../../../src/dev/temporal/server.ts';

/** Only root can give a file to another user. */
const asRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

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
    await makeOwnFolder(path);
    await makeOwnFolder(path);
    for (const mode of [0o777, 0o775]) {
      await chmod(path, mode);
      await assert.rejects(
        makeOwnFolder(path),
        /programs \(user id \d+, mode 07\d\d\) .*nobody else can write/,
      );
    }
  });

  for (const [what, make] of Object.entries({ makePrivateFolder, makeOwnFolder })) {
    void it(`${what} takes no symbolic link for a folder`, async () => {
      const target = join(root, `${what}-target`);
      const link = join(root, `${what}-link`);
      await mkdir(target, { mode: 0o700 });
      await symlink(target, link);
      await assert.rejects(make(link), /link .*(not a folder|must be a folder)/);
      assert.equal(await modeOf(target), 0o700);
    });

    void it(`${what} takes no folder that others can replace`, async () => {
      const open = join(root, `${what}-above`);
      await mkdir(open);
      for (const mode of [0o777, 0o757]) {
        await chmod(open, mode);
        await assert.rejects(make(join(open, 'deep', 'folder')), /above .*lets other users replace/);
      }
      // As /tmp.
      await chmod(open, 0o1777);
      await make(join(open, 'deep', 'folder'));
    });

    void it(`${what} takes no folder of another user, nor one below it`, { skip: !asRoot }, async () => {
      const theirs = join(root, `${what}-theirs`);
      await mkdir(theirs, { mode: 0o700 });
      await chown(theirs, NOBODY, NOBODY);
      await assert.rejects(make(theirs), new RegExp(String(NOBODY)));
      await assert.rejects(make(join(theirs, 'folder')), /theirs \(user id 65534.* lets other users replace/);
      const group = join(root, `${what}-group`);
      await mkdir(group);
      await chmod(group, 0o775);
      await chown(group, 0, NOBODY);
      await assert.rejects(make(join(group, 'folder')), /group .*lets other users replace/);
    });

    void it(
      `${what} goes through no link of another user, nor into their folder`,
      { skip: !asRoot },
      async () => {
        const mine = join(root, `${what}-mine`);
        const link = join(root, `${what}-their-link`);
        await mkdir(mine, { mode: 0o700 });
        await symlink(mine, link);
        await make(join(link, 'first'));
        await lchown(link, NOBODY, NOBODY);
        await assert.rejects(make(join(link, 'second')), /their-link \(user id 65534/);
        await lchown(link, 0, 0);
        await chown(mine, NOBODY, NOBODY);
        await assert.rejects(make(join(link, 'third')), /mine \(user id 65534/);
      },
    );
  }

  void it('root keeps programs in its own home, whatever HOME is', { skip: !asRoot }, () => {
    const { HOME, XDG_CACHE_HOME } = process.env;
    try {
      Object.assign(process.env, { HOME: '/elsewhere', XDG_CACHE_HOME: '/elsewhere/cache' });
      assert.equal(defaultCacheDir(), join(userInfo().homedir, '.cache', 'temporal-inbox'));
    } finally {
      for (const [name, value] of Object.entries({ HOME, XDG_CACHE_HOME })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  void it('nothing is kept in a folder that others can change', async () => {
    const open = join(root, 'data');
    await mkdir(open);
    await chmod(open, 0o777);
    const env = { DATABASE_URL: 'postgres://example/db', TEMPORAL_ADDRESS: 'example:7233' };
    await assert.rejects(startServers({ env, persistentDir: open }), /data .*nobody else can write/);
    await writeFile(join(open, 'file'), '');
    const options = { binary: 'never-run', dbFile: join(open, 'temporal.db'), searchAttributes: [] };
    await assert.rejects(startTemporalServer(options), /data is in use for something else/);
  });
});
