/**
 * A send must not fail because of its NOTIFY, neither in a prepared transaction nor with a full NOTIFY queue. These tests
 * need a server with special settings, so they start their own.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type { Pool } from 'pg';
import { createPool } from '../../../src/platform/postgres.ts';
import { startPostgresServer } from '../../../src/dev/postgres/server.ts';
import type { PostgresServer } from '../../../src/dev/postgres/server.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createLog } from '../../../src/platform/log.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { claimEntry, completeEntry, lockAttempt } from '../../../src/store/entries.ts';
import { PENDING_CHANNEL } from '../../../src/store/inserts.ts';

const IN_SQL = "select inbox.send($1, 'Note', '{}')";

const message = (messageId: string) => ({ messageId, type: 'Note', payload: {} });

describe('the NOTIFY of a send', () => {
  let server: PostgresServer;
  let pool: Pool;
  let inbox: Inbox;

  before(async () => {
    server = await startPostgresServer({
      settings: { max_prepared_transactions: '5', max_notify_queue_pages: '64', fsync: 'off' },
    });
    pool = createPool({ connectionString: server.url, max: 5, applicationName: 'inbox tests' });
    await migrate(pool);
    inbox = await createInbox({ pool, log: createLog('error', () => {}) });
  });
  after(async () => {
    await inbox.close();
    await pool.end();
    await server.stop();
  });

  async function inPreparedTransaction(
    name: string,
    work: (client: Client) => Promise<unknown>,
  ): Promise<void> {
    const client = new Client(server.url);
    await client.connect();
    try {
      await client.query('begin');
      await work(client);
      await client.query(`prepare transaction '${name}'`);
      await client.query(`commit prepared '${name}'`);
    } finally {
      await client.end();
    }
  }

  it('is omitted if the server allows prepared transactions', async () => {
    await inPreparedTransaction('sql', (client) => client.query(IN_SQL, ['prepared-sql']));
    await inPreparedTransaction('node', (client) => inbox.send(message('prepared-node'), { tx: client }));
    await inPreparedTransaction('many', (client) => inbox.send([message('prepared-many')], { tx: client }));
    for (const id of ['prepared-sql', 'prepared-node', 'prepared-many'])
      assert.equal((await inbox.status(id))?.status, 'Pending');
  });

  it('is sent there with inbox.wake = on, which makes the transaction impossible to prepare', async () => {
    for (const [name, send] of [
      ['sql', (client: Client) => client.query(IN_SQL, ['woken-sql'])],
      ['node', (client: Client) => inbox.send(message('woken-node'), { tx: client })],
    ] as const) {
      const woken = inPreparedTransaction(`woken-${name}`, async (client) => {
        await client.query("set local inbox.wake = 'on'");
        await send(client);
      });
      await assert.rejects(woken, /cannot PREPARE a transaction that has executed.*NOTIFY/);
    }
  });

  it('is sent at commit if inbox.wake is on, and not if it is off', async () => {
    const listener = new Client(server.url);
    await listener.connect();
    const heard: string[] = [];
    listener.on('notification', ({ channel }) => heard.push(channel));
    await listener.query(`listen ${PENDING_CHANNEL}; listen the_end`);
    const client = await pool.connect();
    await client.query(`begin; set local inbox.wake = 'off'`);
    await client.query(IN_SQL, ['off-sql']);
    await inbox.send(message('off-node'), { tx: client });
    await client.query(`commit; begin; set local inbox.wake = 'on'`);
    await client.query(IN_SQL, ['on-sql']);
    await client.query('commit; notify the_end');
    client.release();
    // Notifications arrive in the order of the commits, at the latest with the answer to a statement.
    await listener.query('select 1');
    assert.deepEqual(heard, [PENDING_CHANNEL, 'the_end']);
    await listener.end();
  });

  it('is omitted if the NOTIFY queue is full, in every way of sending, and an attempt still completes', async () => {
    const holder = new Client(server.url);
    const filler = new Client(server.url);
    await Promise.all([holder.connect(), filler.connect()]);
    try {
      // A listener with an open transaction keeps the queue from being emptied.
      await holder.query('listen held');
      await holder.query('begin; select 1');
      await assert.rejects(async () => {
        for (;;) await filler.query("select pg_notify('held', repeat('x', 7900) || clock_timestamp())");
      }, /NOTIFY queue/);
      await assert.rejects(pool.query('notify held'), /NOTIFY queue/);

      await pool.query(
        "begin; set local inbox.wake = 'on'; select inbox.send('full-sql', 'Note', '{}'); commit",
      );
      assert.equal((await inbox.send(message('full-alone'))).answer, 'accepted');
      assert.equal((await inbox.send([message('full-many')]))[0]!.answer, 'accepted');
      const client = await pool.connect();
      await client.query("begin; set local inbox.wake = 'on'");
      assert.equal((await inbox.send(message('full-tx'), { tx: client })).answer, 'accepted');
      await client.query('commit');
      client.release();
      for (const id of ['full-sql', 'full-alone', 'full-many', 'full-tx'])
        assert.equal((await inbox.status(id))?.status, 'Pending', id);

      await completeAwaitedCommand();
    } finally {
      await Promise.all([holder.end(), filler.end()]);
    }
  });

  async function completeAwaitedCommand(): Promise<void> {
    await pool.query("update inbox.entries set reply_to = 'inbox_settled_x' where message_id = 'full-alone'");
    const claimed = await claimEntry(pool, 'full-alone', { onlyDue: true, types: ['Note'] });
    const client = await pool.connect();
    await client.query('begin');
    const locked = await lockAttempt(client, 'full-alone', claimed!.attempt, 1_000);
    const { attempt } = claimed!;
    const { xid } = locked!;
    await completeEntry(client, { messageId: 'full-alone', attempt, xid, result: null, events: [] });
    await client.query('commit');
    client.release();
    assert.equal((await inbox.status('full-alone'))?.status, 'Completed');
  }
});
