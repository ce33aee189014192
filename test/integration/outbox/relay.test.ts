import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { ConfigurationError, SchemaError } from '../../../src/core/errors.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import {
  insertEvents,
  allPublished,
  byAggregate,
  emptyOutbox,
  eventOf,
  oneTo,
  recorder,
  runCommand,
  createRelays,
  startRelay,
} from '../../support/outbox.ts';
import { noise } from '../../support/random.ts';
import { eventually, gate } from '../../support/wait.ts';

describe('the outbox relay', () => {
  let database: TestDatabase;
  const relays = createRelays(() => database.url);
  const relay = relays.start;

  before(async () => {
    database = await createTestDatabase();
    await database.pool.query('create table accounts (id text primary key, version integer not null)');
  });
  after(() => database.drop());
  beforeEach(() => emptyOutbox(database.pool));
  afterEach(() => relays.stopAll());

  /** Publishes a backlog. Returns the number of events per second. */
  async function drain(count: number, batchSize: number): Promise<number> {
    await emptyOutbox(database.pool);
    await insertEvents(database.pool, count, 50);
    const calls: number[] = [];
    const { published, publish } = recorder((events) => calls.push(events.length));
    const started = performance.now();
    const draining = relay({ publish, batchSize });
    await allPublished(database.pool);
    const seconds = (performance.now() - started) / 1_000;
    await draining.stop();
    assert.equal(published.length, count);
    for (const [id, numbers] of byAggregate(published)) {
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
        id,
      );
    }
    assert.equal(calls.length, count / batchSize);
    return count / seconds;
  }

  it('keeps the order of each aggregate while commands commit concurrently', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    await database.pool.query(`insert into accounts select unnest($1::text[]), 0`, [ids]);
    const { published, publish } = recorder();
    relay({ publish, batchSize: 20 });
    const send = async (sender: number) => {
      for (let n = 0; n < 60; n += 1) {
        const touched = ids.filter((_, index) => (sender * 7 + n * 3 + index) % 5 < 2);
        await runCommand(database.pool, `order-${sender}-${n}`, async (tx) => {
          const events = [];
          for (const id of touched) {
            const sql = 'update accounts set version = version + 1 where id = $1 returning version';
            const { rows: found } = await tx.query<{ version: number }>(sql, [id]);
            events.push(eventOf(id, found[0]!.version));
          }
          return events;
        });
      }
    };
    await Promise.all(oneTo(8).map((sender) => send(sender)));
    await allPublished(database.pool);

    assert.equal(published.length, 960);
    for (const [id, versions] of byAggregate(published))
      assert.deepEqual(versions, oneTo(versions.length), id);
  });

  it('publishes an event that commits after events with higher positions', async () => {
    const { published, publish } = recorder();
    relay({ publish });
    const held = gate();
    const inserted = gate();
    const late = database.pool.connect().then(async (client) => {
      await client.query('begin');
      await client.query(
        `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
         values ('account', 'late', 'Happened', '1', 'late')`,
      );
      inserted.open();
      await held.opened;
      await client.query('commit');
      client.release();
    });
    await inserted.opened;
    await insertEvents(database.pool, 3);
    await eventually('the other events are published', () => published.length === 3);
    held.open();
    await late;
    await eventually('the late event is published', () => published.length === 4);
    assert.equal(published[3]!.aggregateId, 'late');
    assert.ok(published[3]!.position < published[0]!.position);
  });

  it('publishes no event of a transaction that is rolled back', async () => {
    const { published, publish } = recorder();
    relay({ publish });
    await runCommand(database.pool, 'kept-1', async () => [eventOf('a', 1)]);
    await runCommand(database.pool, 'undone', async () => [eventOf('a', 0)], { last: 'rollback' });
    await assert.rejects(
      runCommand(database.pool, 'failed', async (tx) => {
        await tx.query('select 1 / 0');
        return [eventOf('a', 0)];
      }),
    );
    await runCommand(database.pool, 'kept-2', async () => [eventOf('a', 2)], { correlationId: 'flow' });
    await eventually('the committed events are published', () => published.length >= 2);
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(published), new Map([['a', [1, 2]]]));
    const { id, position, createdAt, ...rest } = published[1]!;
    assert.deepEqual(rest, {
      aggregateType: 'account',
      aggregateId: 'a',
      type: 'Happened',
      payload: 2,
      metadata: {},
      messageId: 'kept-2',
      correlationId: 'flow',
    });
    const [row] = await rows(
      database.pool,
      'select id, position::integer, created_at from inbox.outbox where id = $1',
      [id],
    );
    assert.deepEqual(row, { id, position, created_at: createdAt });
  });

  it('uses smaller batches for large events', async () => {
    const calls: number[] = [];
    const { published, publish } = recorder((events) => calls.push(events.length));
    for (const n of oneTo(12)) {
      await runCommand(database.pool, `large-${n}`, async () => [
        eventOf('a', { n, noise: noise(`event ${n}`, 750_000) }),
      ]);
    }
    relay({ publish });
    await allPublished(database.pool);
    assert.deepEqual(
      published.map(({ payload }) => (payload as { n: number }).n),
      oneTo(12),
    );
    assert.ok(Math.max(...calls) < 12, `batches of ${calls.join(', ')}`);
  });

  it('drains 10,000 events in batches', async (t) => {
    const rates = {
      1: await drain(500, 1),
      200: await drain(10_000, 200),
      1_000: await drain(10_000, 1_000),
    };
    t.diagnostic(`batches of 200: ${(rates[200] / rates[1]).toFixed(1)} times the rate of single events`);
    t.diagnostic(
      `batches of 1,000: ${(rates[1_000] / rates[200]).toFixed(1)} times the rate of batches of 200`,
    );
  });

  it('rejects invalid settings and a database without the schema', async () => {
    const { publish } = recorder();
    const databaseUrl = database.url;
    assert.throws(() => startRelay({ databaseUrl, publish, batchSize: 0 }), ConfigurationError);
    assert.throws(
      () => startRelay({ databaseUrl, publish, publishTimeout: 'soon' as '1s' }),
      /publishTimeout is "soon"/,
    );
    const empty = await createTestDatabase('empty');
    try {
      await assert.rejects(startRelay({ databaseUrl: empty.url, publish }).stop(), SchemaError);
    } finally {
      await empty.drop();
    }
  });
});
