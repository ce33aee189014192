import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { sourceCommand, writeEnvironmentFile } from '../../../src/dev/environment-file.ts';
import type { Servers } from '../../../src/dev/servers.ts';

const servers = (values: Partial<Servers> = {}, binary = '/usr/bin/temporal'): Servers => ({
  databaseUrl: 'postgres://inbox:canary@127.0.0.1:5432/inbox',
  temporalAddress: '127.0.0.1:7233',
  uiUrl: null,
  temporal: {
    binary,
    address: '127.0.0.1:7233',
    uiUrl: null,
    pid: 0,
    stop: () => Promise.resolve(),
    kill: () => Promise.resolve(),
  },
  stop: () => Promise.resolve(),
  ...values,
});

describe('writeEnvironmentFile', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dev-environment-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('replaces a symbolic link instead of writing through it', async () => {
    const victim = join(folder, 'victim');
    await writeFile(victim, 'kept');
    await chmod(victim, 0o644);
    await symlink(victim, join(folder, 'env'));
    const path = await writeEnvironmentFile(folder, servers());
    assert.equal(await readFile(victim, 'utf8'), 'kept');
    assert.equal((await lstat(victim)).mode & 0o777, 0o644);
    const stats = await lstat(path);
    assert.ok(stats.isFile());
    assert.equal(stats.mode & 0o777, 0o600);
  });

  it('sets the address of the Web UI for links, if there is one', async () => {
    const withUi = await writeEnvironmentFile(folder, servers({ uiUrl: 'http://127.0.0.1:8233' }));
    assert.match(
      await readFile(withUi, 'utf8'),
      /^export INBOX_TEMPORAL_UI_URL='http:\/\/127\.0\.0\.1:8233'$/m,
    );
    const without = await writeEnvironmentFile(folder, servers());
    assert.doesNotMatch(await readFile(without, 'utf8'), /UI_URL/);
  });

  it('replaces the file atomically: a reader of the old file still reads all of it', async () => {
    const path = await writeEnvironmentFile(folder, servers());
    await chmod(path, 0o644);
    const old = await open(path);
    try {
      await writeEnvironmentFile(folder, servers({ databaseUrl: 'postgres://another' }));
      assert.match(await old.readFile('utf8'), /canary/);
      assert.match(await readFile(path, 'utf8'), /another/);
      assert.equal((await lstat(path)).mode & 0o777, 0o600);
      assert.deepEqual(await readdir(folder), ['env']);
    } finally {
      await old.close();
    }
  });

  it('rejects a folder in which others could replace the file', async () => {
    const shared = join(folder, 'shared');
    await mkdir(shared);
    await chmod(shared, 0o777);
    await symlink(folder, join(folder, 'link'));
    for (const path of [shared, join(shared, 'below'), join(folder, 'link')])
      await assert.rejects(writeEnvironmentFile(path, servers()), { name: 'NotOursError' });
    assert.deepEqual((await readdir(folder)).sort(), ['link', 'shared']);
  });

  it('quotes hostile values so that a shell reads them unchanged', async () => {
    const marker = join(folder, 'marker');
    const hostile = `a"b'c\\d $(touch ${marker}) \`touch ${marker}\` $HOME ; touch ${marker} #\n&`;
    const databaseUrl = `postgres://${hostile}`;
    const binaries = join('/opt', hostile);
    const own = join(folder, 'it\'s $(touch marker) "own"');
    const values = servers({ databaseUrl, temporalAddress: hostile }, join(binaries, 'temporal'));
    const path = await writeEnvironmentFile(own, values);
    const script = `${sourceCommand(path)}\nprintf '%s\\0' "$DATABASE_URL" "$TEMPORAL_ADDRESS" "$PATH"`;
    const { stdout } = await promisify(execFile)('sh', ['-euc', script], { cwd: folder });
    const [url, address, search] = stdout.split('\0');
    assert.deepEqual([url, address], [databaseUrl, hostile]);
    assert.ok(search!.endsWith(`:${binaries}`));
    assert.deepEqual((await readdir(folder)).length, 1);
  });
});
