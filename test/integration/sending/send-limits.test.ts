/** A role sets short limits for transactions, and the sender's process is too busy to meet them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import type { PoolClient } from 'pg';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';

const LIMIT_MS = 100;

/** Simulates a busy process: continues its transaction later than the limits allow. */
function makeBusy(client: PoolClient): void {
  client.on('error', () => {});
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  client.query = (async (...args: unknown[]) => {
    const answer = await query(...args);
    if (String(args[0]).startsWith('begin')) await sleep(3 * LIMIT_MS);
    return answer;
  }) as typeof client.query;
}

const message = (messageId: string) => ({ messageId, type: 'Note', payload: {} });

describe('a busy sender whose role has short transaction limits', () => {
  let database: TestDatabase;
  let login: TestLogin;
  let pool: Pool;
  let inbox: Inbox;

  before(async () => {
    database = await createTestDatabase();
    login = await createLogin(database, 'inbox_worker');
    for (const [name, value] of [
      ['idle_in_transaction_session_timeout', `${LIMIT_MS}ms`],
      ['transaction_timeout', `${LIMIT_MS}ms`],
      // Makes even a single statement need a transaction.
      ['DateStyle', 'SQL, DMY'],
    ]) {
      const known = await database.pool.query('select from pg_settings where name = $1', [name]);
      if (known.rowCount === 1)
        await database.pool.query(`alter role ${login.name} set ${name} = '${value}'`);
    }
    pool = new Pool({ connectionString: login.url, max: 2 });
    pool.on('connect', makeBusy);
    pool.on('error', () => {});
    inbox = await createInbox({ pool });
  });
  after(async () => {
    await inbox.close();
    await pool.end();
    await login.drop();
    await database.drop();
  });

  it('sends one message', async () => {
    assert.equal((await inbox.send(message('one'))).answer, 'accepted');
  });

  it('sends several messages', async () => {
    const sent = await inbox.send([message('two'), message('three')]);
    assert.deepEqual(
      sent.map(({ answer }) => answer),
      ['accepted', 'accepted'],
    );
  });

  it('sends after the server has closed the idle connections of its pool', async () => {
    await Promise.all([pool.query('select 1'), pool.query('select 1')]);
    assert.equal(pool.idleCount, 2);
    const script = `
      const { Client } = require('pg');
      const client = new Client(${JSON.stringify(database.url)});
      client.connect()
        .then(() => client.query("select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = '${login.name}'"))
        .then(() => client.end());`;
    // This process is blocked meanwhile, so the pool notices the closed connections only when it uses them.
    execFileSync(process.execPath, ['-e', script]);
    assert.equal((await inbox.send(message('after'))).answer, 'accepted');
  });

  it('keeps its own limits in its own transactions', async () => {
    const client = await pool.connect();
    try {
      await client.query('begin');
      await assert.rejects(client.query('select 1'));
    } finally {
      client.release(true);
    }
  });
});
