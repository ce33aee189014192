import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { isAlive } from '../../../src/dev/process/processes.ts';
import { startServers } from '../../../src/dev/servers.ts';
import { findTemporalBinary } from '../../../src/dev/temporal/binary.ts';
import { startTemporalServer } from '../../../src/dev/temporal/server.ts';
import { SEARCH_ATTRIBUTES } from '../../../src/core/protocol.ts';
import { eventually } from '../../support/wait.ts';

const MODULE = new URL('../../../src/dev/servers.js', import.meta.url).href;
const TEMPORAL_CLI_PATH = (await findTemporalBinary()).path;
/** An environment that names no existing server. */
const env = {
  ...process.env,
  TEMPORAL_CLI_PATH,
  DATABASE_URL: '',
  TEMPORAL_ADDRESS: '',
  TEMPORAL_NAMESPACE: '',
};

async function withClient<Result>(
  address: string,
  work: (client: Client) => Promise<Result>,
  namespace = 'default',
): Promise<Result> {
  const connection = await Connection.connect({ address });
  try {
    return await work(new Client({ connection, namespace }));
  } finally {
    await connection.close();
  }
}

/** Rejects when the server does not know an attribute. */
async function startWorkflow(client: Client, workflowId: string, attributes: string[]): Promise<void> {
  await client.workflow.start('never', {
    workflowId,
    taskQueue: 'nobody',
    searchAttributes: Object.fromEntries(attributes.map((name) => [name, ['value']])),
  });
}

void describe('startTemporalServer', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dev-temporal-'));
  });
  after(() => rm(folder, { recursive: true }));
  const binary = TEMPORAL_CLI_PATH;

  void it('accepts search attributes immediately, in the given namespace, and serves the Web UI', async () => {
    const server = await startTemporalServer({
      binary,
      namespace: 'mine',
      searchAttributes: ['Color', 'Size'],
    });
    try {
      await withClient(server.address, (client) => startWorkflow(client, 'a', ['Color', 'Size']), 'mine');
      assert.match(server.address, /^127\.0\.0\.1:\d+$/);
      assert.equal((await fetch(`${server.uiUrl}/`)).status, 200);
    } finally {
      await server.stop();
    }
    assert.equal(isAlive(server.pid), false);
  });

  void it('keeps workflows after a kill and a stop, and registers new search attributes', async () => {
    const dbFile = join(folder, 'temporal', 'temporal.db');
    const first = await startTemporalServer({ binary, dbFile, uiPort: null, searchAttributes: ['Color'] });
    assert.equal(first.uiUrl, null);
    await withClient(first.address, (client) => startWorkflow(client, 'kept', ['Color']));
    const concurrent = startTemporalServer({ binary, dbFile, uiPort: null, searchAttributes: [] });
    await assert.rejects(concurrent, new RegExp(`already using .*: process ${first.pid}\\b`));
    await first.kill();
    assert.equal(isAlive(first.pid), false);

    for (const attempt of ['second', 'third']) {
      const port = Number(first.address.split(':')[1]);
      const options = { binary, dbFile, port, uiPort: null, searchAttributes: ['Color', 'Size'] };
      const next = await startTemporalServer(options);
      assert.equal(next.address, first.address);
      await withClient(next.address, async (client) => {
        await startWorkflow(client, attempt, ['Color', 'Size']);
        assert.equal((await client.workflow.getHandle('kept').describe()).status.name, 'RUNNING');
      });
      await next.stop();
    }
  });

  void it('includes the last lines of the log when the server does not start', async () => {
    const dbFile = join(folder, 'no-database');
    await writeFile(dbFile, 'this is not what SQLite writes');
    const broken = startTemporalServer({ binary, dbFile, searchAttributes: [] });
    await assert.rejects(
      broken,
      /did not start on port \d+: the server ended with exit code \d+[^]*not a database/,
    );
  });
});

void describe('startServers', () => {
  void it('starts and stops both servers', async () => {
    const servers = await startServers({ env });
    const pids = [servers.postgres?.pid ?? 0, servers.temporal?.pid ?? 0];
    assert.ok(pids.every((pid) => pid > 0 && isAlive(pid)));
    assert.equal(servers.databaseUrl, servers.postgres?.url);
    assert.equal(servers.temporalAddress, servers.temporal?.address);
    await withClient(servers.temporalAddress, (client) =>
      startWorkflow(client, 'all', Object.values(SEARCH_ATTRIBUTES)),
    );
    await servers.stop();
    assert.ok(pids.every((pid) => !isAlive(pid)));
  });

  void it('starts no server that the environment already provides', async () => {
    const given = { DATABASE_URL: 'postgres://example/db', TEMPORAL_ADDRESS: 'example:7233' };
    const servers = await startServers({ env: given });
    assert.equal(servers.databaseUrl, given.DATABASE_URL);
    assert.equal(servers.temporalAddress, given.TEMPORAL_ADDRESS);
    assert.deepEqual([servers.uiUrl, servers.postgres, servers.temporal], [null, undefined, undefined]);
    await servers.stop();
  });

  void it('keeps both servers in a folder that is free again after their owner was killed', async () => {
    const persistentDir = await mkdtemp(join(tmpdir(), 'dev-servers-'));
    await promisify(execFile)('chmod', ['711', persistentDir]);
    const program = `
      import { startServers } from ${JSON.stringify(MODULE)};
      const { postgres, temporal } = await startServers({ persistentDir: ${JSON.stringify(persistentDir)} });
      console.log(postgres.pid, temporal.pid);
    `;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(owner.stdout), 'line');
    const pids = String(line).split(' ').map(Number);
    assert.ok(pids.every((pid) => isAlive(pid)));
    owner.kill('SIGKILL');
    // Start immediately, while the servers of the dead owner are still stopping.
    const servers = await startServers({ env, persistentDir });
    await eventually('the first servers have ended', () => pids.every((pid) => !isAlive(pid)));
    await servers.stop();
    await rm(persistentDir, { recursive: true });
  });
});
