import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { PoolClient } from 'pg';
import { createPool } from '../../../src/platform/postgres.ts';
import { MigrationBlockedError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { migrate } from '../../../src/store/migrate.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { migration } from '../../support/migration.ts';
import { eventually } from '../../support/wait.ts';

const ONE = migration(1, 'create table inbox.one (id integer)');
const ALTER = migration(2, 'alter table inbox.one add column two text');
const EARLIER_LOCK = '8071829304651';

const pidOf = async (client: PoolClient) =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

const blockedBy = (pid: number) =>
  new RegExp(`blocked by pid ${pid} \\(user \\w+, application forgotten psql, idle in transaction`);

describe('a migration blocked by another session', () => {
  let database: TestDatabase;
  let other: PoolClient;
  let lines: string[];
  const log = createLog('info', (line) => void lines.push(line));

  beforeEach(async () => {
    lines = [];
    database = await createTestDatabase('empty');
    await migrate(database.pool, [ONE]);
    other = await database.pool.connect();
    await other.query("set application_name = 'forgotten psql'");
    await other.query('begin');
  });
  afterEach(async () => {
    await other.query('rollback').catch(() => {});
    other.release();
    await database.drop();
  });

  /** Sessions of this database that are waiting for a table lock. */
  const waiting = () =>
    rows(
      database.pool,
      `select from pg_locks where locktype = 'relation' and not granted
       and database = (select oid from pg_database where datname = current_database())`,
    );

  /**
   * Migrates until it times out, and returns the error message. On a busy machine the blocking session may not be
   * identified, so this repeats until the message names it.
   */
  const timesOut = (limits: { lockTimeoutMs: number; waitMs: number }, session: RegExp) =>
    eventually(`the error names the blocking session: ${session}`, async () => {
      const failed = await migrate(database.pool, [ONE, ALTER], { log, ...limits }).catch((error) => error);
      assert.ok(failed instanceof MigrationBlockedError);
      return session.test(failed.message) && failed.message;
    });

  it('blocks nobody between its attempts, and is applied once the session has ended', async () => {
    await other.query('select from inbox.one');
    const pid = await pidOf(other);
    const migrating = migrate(database.pool, [ONE, ALTER], { log, lockTimeoutMs: 200 });
    await eventually('the migration waits for the table', async () => (await waiting()).length === 1);
    await eventually('the migration no longer waits', async () => (await waiting()).length === 0);
    // This insert would otherwise wait behind the ALTER.
    await database.pool.query('insert into inbox.one values (1)');
    const line = new RegExp(
      `WARN +migration 0002_test\\.sql could not get a lock; retrying blockedBy="pid ${pid} \\(user \\w+, ` +
        'application forgotten psql, idle in transaction since 20[^)]+\\)" retryInMs=\\d+',
    );
    await eventually('the log names the blocking session', () => lines.some((each) => line.test(each)));
    await other.query('commit');
    assert.deepEqual((await migrating).applied, [ALTER]);
  });

  it('times out and leaves nothing behind', async () => {
    await other.query('select from inbox.one');
    const pid = await pidOf(other);
    const message = await timesOut({ lockTimeoutMs: 300, waitMs: 500 }, blockedBy(pid));
    assert.match(message, /^migration 0002_test\.sql could not get a lock: timed out/);
    assert.match(message, /the migration was not applied.*run `inbox migrate` again/);
    assert.equal((await rows(database.pool, 'select from inbox.migrations')).length, 1);
    assert.equal((await waiting()).length, 0);
  });

  it('waits for another migrator and names its session', async () => {
    await other.query('lock table inbox.migrations in share row exclusive mode');
    const pid = await pidOf(other);
    await timesOut({ lockTimeoutMs: 300, waitMs: 200 }, blockedBy(pid));
    assert.deepEqual(
      (await migrate(database.pool, [ONE])).applied,
      [],
      'a migration with nothing to do needs no lock',
    );
    await other.query('commit');
    assert.deepEqual((await migrate(database.pool, [ONE, ALTER], { log })).applied, [ALTER]);
  });

  for (const [kind, take] of [
    ['a session', `select pg_advisory_lock(${EARLIER_LOCK})`],
    ['a transaction', `select pg_advisory_xact_lock(${EARLIER_LOCK})`],
    ['a session that shares it', `select pg_advisory_lock_shared(${EARLIER_LOCK})`],
  ] as const) {
    it(`does not wait for the advisory lock of earlier releases, which every login can hold: ${kind}`, async () => {
      await other.query(take);
      assert.deepEqual((await migrate(database.pool, [ONE, ALTER], { log })).applied, [ALTER]);
      assert.deepEqual(lines, []);
      await other.query('select pg_advisory_unlock_all()');
    });
  }

  it('works on a pool with a single connection, which cannot identify the blocking session', async () => {
    await other.query('select from inbox.one');
    const single = createPool({ connectionString: database.url, max: 1, applicationName: 'inbox tests' });
    try {
      const migrating = migrate(single, [ONE, ALTER], { log, lockTimeoutMs: 100 });
      await eventually('the first attempt failed', () => lines.length >= 1);
      await other.query('commit');
      assert.deepEqual((await migrating).applied, [ALTER]);
    } finally {
      await single.end();
    }
  });
});
