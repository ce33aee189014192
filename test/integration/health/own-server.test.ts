/**
 * Problems that only a Postgres server of its own can have: settings of the whole server, databases in another encoding,
 * prepared transactions and replication slots.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { startPostgresServer } from '../../../src/dev/postgres/server.ts';
import type { PostgresServer } from '../../../src/dev/postgres/server.ts';
import { checkDatabase } from '../../../src/health/database.ts';
import type { Finding } from '../../../src/health/finding.ts';
import { checkVacuum } from '../../../src/health/vacuum.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import type { Queryable } from '../../../src/platform/queryable.ts';

/** Far longer than the checks take. */
const TIMEOUT_MS = 60_000;

describe('inbox doctor, with a Postgres server', () => {
  let server: PostgresServer;
  let pool: Pool;

  before(async () => {
    server = await startPostgresServer({
      settings: {
        fsync: 'off',
        full_page_writes: 'off',
        max_prepared_transactions: '2',
        wal_level: 'logical',
        // An autovacuum worker may hold back more for a moment, and would be named first.
        autovacuum: 'off',
      },
    });
    pool = createPool({ connectionString: server.url, max: 2, applicationName: 'inbox tests' });
  });
  after(async () => {
    await pool.end();
    await server.stop();
  });

  async function checkSettings(database: string): Promise<Finding> {
    const url = new URL(server.url);
    url.pathname = `/${database}`;
    const findings = await checkDatabase({ DATABASE_URL: url.href }, TIMEOUT_MS);
    return findings.find(({ name }) => name === 'database settings')!;
  }

  it('that can lose data in a power failure, names each setting and its remedy', async () => {
    const { ok, finding, remedy } = await checkSettings('inbox');
    assert.equal(ok, false);
    assert.equal(finding, 'fsync is off; full_page_writes is off');
    assert.match(remedy!, /^set fsync = on: .*; set full_page_writes = on: .*/);
  });

  it('and a database that is not in UTF-8, names the encoding and the remedy', async () => {
    await pool.query(`create database latin encoding 'LATIN1' template template0`);
    const { ok, finding, remedy } = await checkSettings('latin');
    assert.equal(ok, false);
    assert.match(finding, /^server_encoding is LATIN1; /);
    assert.match(remedy!, /^create a database with encoding UTF8: /);
  });

  it('with a forgotten prepared transaction, names it and how to finish it', async () => {
    const client = await pool.connect();
    await client.query(`begin; create table forgotten (id int); prepare transaction 'forgotten one'`);
    client.release();
    assert.equal((await checkVacuum(pool)).ok, true, 'it is still young');
    const { ok, finding, remedy } = await checkVacuum(later(pool));
    assert.equal(ok, false);
    assert.match(
      finding,
      /^vacuum is held back by prepared transaction forgotten one \(inbox\) for 1\d min$/,
    );
    assert.match(remedy!, /^finish it: COMMIT PREPARED or ROLLBACK PREPARED .*pg_prepared_xacts/);
    await pool.query(`rollback prepared 'forgotten one'`);
    assert.equal((await checkVacuum(later(pool))).ok, true);
  });

  it('with a replication slot that nobody reads, names it and how to drop it', async () => {
    await pool.query(`select pg_create_logical_replication_slot('unread', 'pgoutput')`);
    // Transactions after the slot, so that it is behind.
    for (const name of ['one', 'two']) await pool.query(`create table ${name} (id int)`);
    assert.equal((await checkVacuum(pool)).ok, true, 'it is not far behind');
    const { ok, finding, remedy } = await checkVacuum(later(pool));
    assert.equal(ok, false);
    assert.match(
      finding,
      /^vacuum is held back by replication slot unread \(logical, pgoutput, inbox\) 10\d{5} transactions behind$/,
    );
    assert.match(remedy!, /pg_drop_replication_slot/);
    await pool.query(`select pg_drop_replication_slot('unread')`);
    assert.equal((await checkVacuum(later(pool))).ok, true);
  });
});

/** Checks as if ten minutes and a million transactions had passed. */
function later(pool: Pool): Queryable {
  return {
    query: (text: string, values: unknown[]) => {
      const shifted = text
        .replaceAll('clock_timestamp()', `(clock_timestamp() + interval '10 minutes')`)
        .replaceAll(
          'greatest(age(xmin), age(catalog_xmin))',
          '(greatest(age(xmin), age(catalog_xmin)) + 1000000)',
        );
      return pool.query(shifted, values);
    },
  } as Queryable;
}
