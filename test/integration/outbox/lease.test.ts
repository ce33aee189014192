/**
 * Which relay may publish: the one that holds the lease, and none while a relay of an earlier release publishes.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Client } from 'pg';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import {
  insertEvents,
  allPublished,
  emptyOutbox,
  publishingRelay,
  recorder,
  relayBackends,
  startRelay,
} from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

const EARLIER_LOCK = 8071829304690n;

describe('the lease of the outbox relay', () => {
  let database: TestDatabase;
  let worker: TestLogin;
  let sender: TestLogin;
  let relays: TestRelay[] = [];
  let clients: Client[] = [];

  before(async () => {
    database = await createTestDatabase();
    worker = await createLogin(database, 'inbox_worker');
    sender = await createLogin(database, 'inbox_sender');
  });
  after(async () => {
    await worker.drop();
    await sender.drop();
    await database.drop();
  });
  beforeEach(() => emptyOutbox(database.pool));
  afterEach(async () => {
    await Promise.all(relays.map((each) => each.stop()));
    relays = [];
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
    clients = [];
  });

  function relay(databaseUrl = worker.url): TestRelay & ReturnType<typeof recorder> {
    const seen = recorder();
    const started = { ...startRelay({ databaseUrl, publish: seen.publish }), ...seen };
    relays.push(started);
    return started;
  }

  /** Opens a session that holds the lock of earlier releases. */
  async function holdLock(url: string, name = 'inbox outbox relay'): Promise<Client> {
    const client = new Client({ connectionString: url, application_name: name });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    await client.query('select pg_advisory_lock($1)', [EARLIER_LOCK]);
    return client;
  }

  it('is not blocked by an untrusted login that holds the lock of earlier releases', async () => {
    await holdLock(sender.url);
    const { published } = relay();
    await insertEvents(database.pool, 3);
    await allPublished(database.pool);
    assert.equal(published.length, 3);
  });

  it('is not taken until a relay of an earlier release ends', async () => {
    const earlier = await holdLock(worker.url);
    const { published } = relay();
    await insertEvents(database.pool, 3);
    await eventually('the relay is connected', async () => (await relayBackends(database.pool)).length === 1);
    const startedAt = performance.now();
    await eventually('the relay has tried twice', () => performance.now() - startedAt > 2_500);
    assert.deepEqual([published.length, await publishingRelay(database.pool)], [0, undefined]);
    await earlier.end();
    await allPublished(database.pool);
    assert.equal(published.length, 3);
  });

  it('leaves relays of earlier releases an index for their query, which only selects unpublished events', async () => {
    await database.pool.query(
      `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id, published_at)
       select 'a', 'a', 't', '{}', 'm', case when n < 20000 then now() end from generate_series(1, 20010) n;
       analyze inbox.outbox`,
    );
    const { rows: lines } = await database.pool.query<{ 'QUERY PLAN': string }>(
      'explain select * from inbox.outbox where published_at is null order by position limit 200',
    );
    assert.match(lines.map((row) => row['QUERY PLAN']).join('\n'), /Index Scan (using|on) outbox_waiting/);
  });

  it('is lost when a relay of an earlier release starts', async () => {
    const { lines } = relay();
    await insertEvents(database.pool, 1);
    await allPublished(database.pool);
    const earlier = await holdLock(worker.url);
    await eventually('the relay has noticed', () => lines.some((line) => line.includes('lost its lease')));
    await eventually(
      'no relay holds the lease',
      async () => (await publishingRelay(database.pool)) === undefined,
    );
    await insertEvents(database.pool, 1);
    await earlier.end();
    await allPublished(database.pool);
  });

  it('is not blocked by a lock that a pooler left behind on another client’s connection', async () => {
    await holdLock(worker.url, 'psql');
    relay();
    await insertEvents(database.pool, 3);
    await allPublished(database.pool);
  });

  it('is taken again after its row was deleted', async () => {
    const { lines } = relay();
    await eventually('the relay holds the lease', () => publishingRelay(database.pool));
    await database.pool.query('delete from inbox.outbox_lease');
    await eventually('the relay has noticed', () => lines.some((line) => line.includes('lost its lease')));
    await insertEvents(database.pool, 3);
    await allPublished(database.pool);
  });

  it('is renewed during a batch that takes longer than the lease', async () => {
    let calls = 0;
    const slow = startRelay({
      databaseUrl: worker.url,
      lease: '1s',
      async publish() {
        calls += 1;
        const began = performance.now();
        await eventually('three leases have passed', () => performance.now() - began > 3_000);
      },
    });
    relays.push(slow);
    const holder = await eventually('the relay holds the lease', () => publishingRelay(database.pool));
    const other = relay();
    await insertEvents(database.pool, 1);
    await allPublished(database.pool);
    assert.deepEqual([calls, other.published.length], [1, 0]);
    assert.equal(await publishingRelay(database.pool), holder);
  });
});
