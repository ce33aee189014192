import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkCommandTypes } from '../../../src/health/command-types.ts';
import { checkVacuum } from '../../../src/health/vacuum.ts';
import { findVacuumHolders } from '../../../src/store/vacuum-holders.ts';
import { removeWorker, noteWorker } from '../../../src/store/workers.ts';
import { runCli } from '../../support/cli.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';

describe('the vacuum check of doctor', () => {
  let database: TestDatabase;
  before(async () => (database = await createTestDatabase()));
  after(() => database.drop());

  it('names the session that holds a snapshot open', async () => {
    assert.equal((await checkVacuum(database.pool)).ok, true);
    const holder = await database.pool.connect();
    await holder.query('begin isolation level repeatable read');
    await holder.query('select from inbox.entries');
    const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid');
    const { holders } = await findVacuumHolders(database.pool, 0, 1_000_000);
    const found = holders.find(({ name }) => name === String(rows[0]!.pid));
    assert.ok(found, JSON.stringify(holders));
    assert.equal(found.kind, 'session');
    assert.match(found.state!, /idle in transaction/);
    assert.match(found.owner, /inbox tests/);
    await holder.query('rollback');
    holder.release();
    assert.ok(
      !(await findVacuumHolders(database.pool, 0, 1_000_000)).holders.some(({ name }) => name === found.name),
    );
  });
});

describe('the command types check of doctor and stats', () => {
  let database: TestDatabase;
  before(async () => (database = await createTestDatabase()));
  after(() => database.drop());

  const worker = {
    identity: '1@host',
    namespace: 'default',
    taskQueue: 'inbox',
    buildId: null,
    commandTypes: ['Known'],
  };

  it('names the command types that no running worker knows', async () => {
    await database.pool.query(
      `select inbox.send('known', 'Known', '1'), inbox.send('unknown', 'Unknown', '1')`,
    );
    assert.equal(
      (await checkCommandTypes(database.pool)).ok,
      true,
      'without a worker there is nothing to compare',
    );
    const id = '00000000-0000-0000-0000-000000000001';
    await noteWorker(database.pool, id, worker);
    const verdict = await checkCommandTypes(database.pool);
    assert.equal(verdict.ok, false);
    assert.match(
      verdict.finding,
      /^no running worker knows these command types: Unknown \(1, oldest waiting \d+ s\)$/,
    );
    const { stdout } = await runCli(['stats'], { DATABASE_URL: database.url });
    assert.match(stdout, /Waiting for a worker that handles their type\n[^]*Unknown +1 /);
    await database.pool.query(`update inbox.workers set seen_at = now() - interval '31 seconds'`);
    assert.equal((await checkCommandTypes(database.pool)).ok, true, 'a worker that died is not counted');
    await removeWorker(database.pool, id);
  });
});
