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

  void it('creates a private folder and its missing parents, and accepts it the next time', async () => {
    const path = join(root, 'a', 'b', 'private');
    await makePrivateFolder(path);
    await writeFile(join(path, 'file'), '');
    await makePrivateFolder(path);
    assert.equal(await modeOf(path), 0o700);
  });

  void it('makes an empty folder private, and rejects a folder with content without changing it', async () => {
    const path = join(root, 'open');
    await mkdir(path);
    await chmod(path, 0o755);
    await makePrivateFolder(path);
    assert.equal(await modeOf(path), 0o700);

    await writeFile(join(path, 'file'), '');
    await chmod(path, 0o755);
    await assert.rejects(makePrivateFolder(path), /open cannot be used: .* mode 0755/);
    assert.equal(await modeOf(path), 0o755);
  });

  void it('rejects a program folder that others can write to', async () => {
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
    void it(`${what} rejects a symbolic link`, async () => {
      const target = join(root, `${what}-target`);
      const link = join(root, `${what}-link`);
      await mkdir(target, { mode: 0o700 });
      await symlink(target, link);
      await assert.rejects(make(link), /link .*(not a folder|must be a folder)/);
      assert.equal(await modeOf(target), 0o700);
    });

    void it(`${what} rejects a folder that others can replace`, async () => {
      const open = join(root, `${what}-above`);
      await mkdir(open);
      for (const mode of [0o777, 0o757]) {
        await chmod(open, mode);
        await assert.rejects(make(join(open, 'deep', 'folder')), /above .*lets other users replace/);
      }
      // The same mode as /tmp.
      await chmod(open, 0o1777);
      await make(join(open, 'deep', 'folder'));
    });

    void it(`${what} rejects a folder of another user and folders below it`, { skip: !asRoot }, async () => {
      const foreign = join(root, `${what}-foreign`);
      await mkdir(foreign, { mode: 0o700 });
      await chown(foreign, NOBODY, NOBODY);
      await assert.rejects(make(foreign), new RegExp(String(NOBODY)));
      await assert.rejects(
        make(join(foreign, 'folder')),
        /foreign \(user id 65534.* lets other users replace/,
      );
      const group = join(root, `${what}-group`);
      await mkdir(group);
      await chmod(group, 0o775);
      await chown(group, 0, NOBODY);
      await assert.rejects(make(join(group, 'folder')), /group .*lets other users replace/);
    });

    void it(
      `${what} rejects a path through another user's link, and through a link to another user's folder`,
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

  void it("keeps root's programs in root's own home, regardless of HOME", { skip: !asRoot }, () => {
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

  void it('starts no server with data in a folder that others can change', async () => {
    const open = join(root, 'data');
    await mkdir(open);
    await chmod(open, 0o777);
    const env = { DATABASE_URL: 'postgres://example/db', TEMPORAL_ADDRESS: 'example:7233' };
    await assert.rejects(startServers({ env, persistentDir: open }), /data .*nobody else can write/);
    await writeFile(join(open, 'file'), '');
    const options = { binary: 'never-run', dbFile: join(open, 'temporal.db'), searchAttributes: [] };
    await assert.rejects(startTemporalServer(options), /data cannot be used/);
  });
});
