import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { startPostgresServer, type PostgresServer } from '../../../src/dev/postgres/server.ts';
import { isAlive } from '../../../src/dev/process/processes.ts';
import { eventually } from '../../support/wait.ts';

const MODULE = new URL('../../../src/dev/postgres/server.js', import.meta.url).href;
const asRoot = process.getuid?.() === 0;

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

void describe('startPostgresServer, temporary', () => {
  let server: PostgresServer;
  before(async () => {
    server = await startPostgresServer({ settings: { work_mem: '5MB' } });
  });
  after(() => server.stop());

  void it('creates a database with UTF-8, C collation, UTC, the given settings and fsync on', async () => {
    const [row] = await query(
      server.url,
      `select current_database() as db, pg_encoding_to_char(encoding) as encoding, datcollate, datctype,
              current_setting('TimeZone') as timezone, current_setting('work_mem') as work_mem,
              current_setting('fsync') as fsync
         from pg_database where datname = current_database()`,
    );
    assert.deepEqual(row, {
      db: 'inbox',
      encoding: 'UTF8',
      datcollate: 'C',
      datctype: 'C',
      timezone: 'UTC',
      work_mem: '5MB',
      fsync: 'on',
    });
  });

  void it('requires its password and does not expose it', async () => {
    assert.equal(await modeOf(server.dataDir), 0o700);
    assert.equal(await modeOf(join(server.dataDir, 'password')), 0o600);
    const password = new URL(server.url).password;
    assert.equal(await readFile(join(server.dataDir, 'password'), 'utf8'), password);
    assert.ok(password.length >= 32);
    const { stdout } = await promisify(execFile)('cat', [`/proc/${server.pid}/cmdline`]).catch(() => ({
      stdout: '',
    }));
    assert.ok(!stdout.includes(password));
    await assert.rejects(
      query(server.url.replace(password, 'guess'), 'select 1'),
      /password authentication failed/,
    );
  });

  void it('listens on the loopback interface only and has no Unix socket', async () => {
    const [row] = await query(server.url, `select current_setting('unix_socket_directories') as sockets`);
    assert.equal(row?.['sockets'], '');
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter((address) => !address.internal && address.family === 'IPv4');
    for (const { address } of others) {
      await assert.rejects(once(connect(server.port, address), 'connect'), { code: 'ECONNREFUSED' });
    }
  });

  void it('keeps committed data and its address after a kill and a restart', async () => {
    await query(server.url, 'create table kept as select 1 as one');
    const first = server.pid;
    await server.kill();
    assert.equal(isAlive(first), false);
    await assert.rejects(query(server.url, 'select 1'), { code: 'ECONNREFUSED' });
    await server.restart();
    assert.notEqual(server.pid, first);
    assert.deepEqual(await query(server.url, 'select one from kept'), [{ one: 1 }]);
    await server.restart();
    assert.deepEqual(await query(server.url, 'select one from kept'), [{ one: 1 }]);
  });

  void it('leaves no process and no files when it is stopped', async () => {
    const other = await startPostgresServer();
    assert.notEqual(other.port, server.port);
    await other.stop();
    assert.equal(isAlive(other.pid), false);
    assert.equal(await exists(other.dataDir), false);
  });

  void it('leaves no process and no files when its owner is killed', async () => {
    const program = `
      import { startPostgresServer } from ${JSON.stringify(MODULE)};
      const { pid, dataDir } = await startPostgresServer();
      console.log(pid + ' ' + dataDir);
    `;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(owner.stdout), 'line');
    const [pidText, dataDir = ''] = String(line).split(' ');
    const pid = Number(pidText);
    assert.ok(isAlive(pid));
    owner.kill('SIGKILL');
    await eventually('Postgres has ended', () => !isAlive(pid));
    await eventually('its folder is deleted', async () => !(await exists(dataDir)));
  });
});

void describe('startPostgresServer, persistent', () => {
  let parent: string;
  let dataDir: string;
  before(async () => {
    parent = await mkdtemp(join(tmpdir(), 'dev-postgres-'));
    // mkdtemp creates a private folder. Under root, Postgres runs as another user, who must be able to enter it.
    await promisify(execFile)('chmod', ['711', parent]);
    dataDir = join(parent, 'postgres');
  });
  after(() => rm(parent, { recursive: true }));

  void it('keeps its data and password for the next start', async () => {
    const first = await startPostgresServer({ dataDir });
    await query(first.url, 'create table kept as select 1 as one');
    await first.stop();
    const second = await startPostgresServer({ dataDir });
    try {
      assert.equal(new URL(second.url).password, new URL(first.url).password);
      assert.deepEqual(await query(second.url, 'select one from kept'), [{ one: 1 }]);
    } finally {
      await second.stop();
    }
  });

  void it('rejects a folder in use and names the process', async () => {
    const first = await startPostgresServer({ dataDir });
    try {
      await assert.rejects(
        startPostgresServer({ dataDir }),
        new RegExp(`already running in .*: process ${first.pid}\\b`),
      );
      assert.deepEqual(await query(first.url, 'select one from kept'), [{ one: 1 }]);
    } finally {
      await first.stop();
    }
  });

  void it('starts after a SIGKILL of Postgres, which leaves a pid file', async () => {
    const first = await startPostgresServer({ dataDir });
    process.kill(first.pid, 'SIGKILL');
    await eventually('Postgres has ended', () => !isAlive(first.pid));
    assert.ok(await exists(join(dataDir, 'pgdata', 'postmaster.pid')));
    const second = await startPostgresServer({ dataDir });
    assert.deepEqual(await query(second.url, 'select one from kept'), [{ one: 1 }]);
    await second.stop();
    await first.stop();
  });

  void it('starts when the pid in an old pid file now belongs to another program', async () => {
    const pidFile = join(dataDir, 'pgdata', 'postmaster.pid');
    await writeFile(pidFile, `${process.pid}\n${join(dataDir, 'pgdata')}\n`);
    const lines: string[] = [];
    const server = await startPostgresServer({ dataDir, log: (line) => void lines.push(line) });
    try {
      const [line] = (await readFile(pidFile, 'utf8')).split('\n');
      assert.equal(Number(line), server.pid);
      assert.deepEqual(await query(server.url, 'select one from kept'), [{ one: 1 }]);
    } finally {
      await server.stop();
    }
    assert.ok(lines.some((line) => line.includes(`process ${process.pid}, which is now another program`)));
  });

  void it('creates a new cluster after an interrupted initdb, and sets the old one aside', async () => {
    const broken = join(parent, 'broken');
    const first = await startPostgresServer({ dataDir: broken });
    await query(first.url, 'create table kept as select 1 as one');
    await first.stop();
    await rm(join(broken, 'pgdata', 'global'), { recursive: true });
    const dead = spawnSync(process.execPath, ['--version']).pid;
    await mkdir(join(broken, `pgdata.new-${dead}`));
    const lines: string[] = [];
    const second = await startPostgresServer({ dataDir: broken, log: (line) => void lines.push(line) });
    try {
      assert.deepEqual(await query(second.url, `select to_regclass('kept') as kept`), [{ kept: null }]);
    } finally {
      await second.stop();
    }
    const [aside, ...others] = (await readdir(broken)).filter((name) => name.startsWith('pgdata.'));
    assert.match(aside!, /^pgdata\.broken-\d+$/);
    assert.deepEqual(others, [], 'the unfinished cluster of the dead process is deleted');
    assert.ok(await exists(join(broken, aside!, 'base')), 'the files of the old cluster are kept');
    const said = lines.find((line) => line.includes('was not a complete Postgres cluster'));
    assert.ok(said?.includes(join(broken, aside!)), said);
  });

  void it('names both versions when another Postgres version created the folder', async () => {
    await writeFile(join(dataDir, 'pgdata', 'PG_VERSION'), '9\n');
    await assert.rejects(
      startPostgresServer({ dataDir }),
      /created by Postgres 9; Postgres 18 cannot read it/,
    );
  });

  void it('explains why a private folder cannot be used under root', { skip: !asRoot }, async () => {
    const secret = join(parent, 'secret');
    await mkdir(secret, { mode: 0o700 });
    await assert.rejects(startPostgresServer({ dataDir: join(secret, 'postgres') }), /cannot enter .*secret/);
  });
});
