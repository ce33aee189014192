import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { checkCommandTypes } from '../../../src/health/command-types.ts';
import { checkVacuum } from '../../../src/health/vacuum.ts';
import type { Queryable } from '../../../src/platform/queryable.ts';
import { removeWorker, noteWorker } from '../../../src/store/workers.ts';
import { runCli } from '../../support/cli.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createLogin } from '../../support/login.ts';
import type { TestDatabase } from '../../support/database.ts';
import { eventually } from '../../support/wait.ts';

describe('the vacuum check of doctor', () => {
  let database: TestDatabase;
  before(async () => (database = await createTestDatabase()));
  after(() => database.drop());

  it('names the session that holds a snapshot open, with a remedy that works', async () => {
    const { pool } = database;
    const holder = await pool.connect();
    holder.on('error', () => {});
    try {
      await holder.query('begin isolation level repeatable read');
      await holder.query('select from inbox.entries');
      const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid');
      const [{ pid } = { pid: 0 }] = rows;
      const young = await checkVacuum(pool);
      assert.equal(young.ok, true);
      assert.match(young.finding, /^no transaction is older than 5 min/);
      // An autovacuum worker may hold back more for a moment, and would be named first.
      const { finding, remedy } = await eventually('the session is named', async () => {
        const verdict = await checkVacuum(later(pool));
        return !verdict.ok && verdict.finding.includes(`session ${pid} `) && verdict;
      });
      assert.match(
        finding,
        /^vacuum is held back by session \d+ \(.*inbox tests.*\), idle in transaction, for 1\d min/,
      );
      const [statement] = /select pg_terminate_backend\(\d+\)/.exec(remedy!)!;
      await pool.query(statement);
      await eventually('the session is no longer named', async () => {
        const verdict = await checkVacuum(later(pool));
        return !verdict.finding.includes(`session ${pid} `);
      });
    } finally {
      holder.release(true);
    }
  });

  it('counts the sessions that its login cannot see', async () => {
    const operator = await createLogin(database, 'inbox_operator');
    const other = await database.pool.connect();
    const { ok, finding } = await checkVacuum(operator.pool);
    assert.equal(ok, true);
    assert.match(
      finding,
      /\([1-9]\d* sessions of other users are not visible; the role pg_read_all_stats can see them\)$/,
    );
    await database.pool.query(`grant pg_read_all_stats to ${operator.name}`);
    assert.equal((await checkVacuum(operator.pool)).finding, 'no transaction is older than 5 min');
    other.release();
    await operator.drop();
  });
});

/** Checks as if ten minutes had passed: transactions are as much older. */
function later(pool: Pool): Queryable {
  return {
    query: (text: string, values: unknown[]) => {
      const shifted = text.replaceAll('clock_timestamp()', `(clock_timestamp() + interval '10 minutes')`);
      return pool.query(shifted, values);
    },
  } as Queryable;
}

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
