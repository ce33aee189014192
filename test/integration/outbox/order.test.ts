/**
 * The relay reads above a floor. Events that commit late are below it: they must not be lost, and no later event of their
 * aggregate may overtake them.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { PoolClient } from 'pg';
import { deletePublished } from '../../../src/store/retention-others.ts';
import { releaseParkedEvents, skipParkedEvent } from '../../../src/store/outbox-reports.ts';
import { moveToLanes, unparkAggregate, parkAggregate } from '../../../src/store/outbox-parked.ts';
import { markPublished } from '../../../src/store/outbox.ts';
import type { Queryable } from '../../../src/platform/queryable.ts';
import { createTestDatabase } from '../../support/database.ts';
import { callsFunction, scannedIndexes } from '../../support/index-scans.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { allPublished, byAggregate, emptyOutbox, oneTo, recorder, startRelay } from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

const insert = (db: Queryable, aggregateId: string, payload: number) =>
  db.query(
    `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
     values ('account', $1, 'Happened', to_jsonb($2::integer), 'm')`,
    [aggregateId, payload],
  );

describe('the order of events', () => {
  let database: TestDatabase;
  let running: TestRelay | null = null;
  let clients: PoolClient[] = [];

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());
  beforeEach(() => emptyOutbox(database.pool));
  afterEach(async () => {
    for (const client of clients) {
      await client.query('rollback');
      client.release();
    }
    clients = [];
    await running?.stop();
    running = null;
  });

  async function begin(): Promise<PoolClient> {
    const client = await database.pool.connect();
    clients.push(client);
    await client.query('begin');
    return client;
  }
  const now = async () => {
    const [row] = await rows<{ now: Date }>(database.pool, 'select clock_timestamp() as now');
    return row!.now.getTime();
  };

  /** Publishes other events one by one for this long, which raises the floor far above earlier inserts. */
  async function publishOthers(ms: number): Promise<void> {
    const until = (await now()) + ms;
    for (let n = 1; (await now()) < until; n += 1) {
      await insert(database.pool, 'other', n);
      await eventually('the other event is published', async () => {
        const found = await rows(
          database.pool,
          `select from inbox.outbox where published_at is null and aggregateid = 'other'`,
        );
        return found.length === 0;
      });
    }
  }

  it('is kept if an event commits seconds late and the next one of its aggregate follows immediately', async () => {
    const seen = recorder();
    running = startRelay({ databaseUrl: database.url, publish: seen.publish });
    for (const round of oneTo(4)) {
      const late = await begin();
      await insert(late, 'a', 2 * round - 1);
      await publishOthers(round * 1_200);
      await late.query('commit');
      await insert(database.pool, 'a', 2 * round);
      await insert(database.pool, 'b', round);
    }
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(seen.published).get('a'), oneTo(8));
    assert.deepEqual(byAggregate(seen.published).get('b'), oneTo(4));
  });

  it('is kept by a relay that starts while a transaction is open', async () => {
    const late = await begin();
    await insert(late, 'a', 1);
    const seen = recorder();
    await insert(database.pool, 'other', 0);
    running = startRelay({ databaseUrl: database.url, publish: seen.publish });
    await publishOthers(3_000);
    await late.query('commit');
    await insert(database.pool, 'a', 2);
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(seen.published).get('a'), [1, 2]);
  });

  it('is kept, and no event is lost, while many transactions commit late or roll back', async () => {
    const seen = recorder();
    running = startRelay({ databaseUrl: database.url, publish: seen.publish, batchSize: 20 });
    const write = async (writer: number) => {
      for (let n = 1; n <= 40; n += 1) {
        const client = await database.pool.connect();
        try {
          await client.query('begin');
          await insert(client, `w${writer}`, n);
          if (n % 4 === 0) {
            await client.query('rollback; begin');
            await insert(client, `w${writer}`, n);
          }
          if ((n + writer) % 13 === 0) await client.query('select pg_sleep(1.3)');
          await client.query('commit');
        } finally {
          client.release();
        }
      }
    };
    await Promise.all(oneTo(6).map((writer) => write(writer)));
    await allPublished(database.pool);
    assert.equal(seen.published.length, 240);
    for (const [id, numbers] of byAggregate(seen.published)) assert.deepEqual(numbers, oneTo(40), id);
  });

  it('is kept if many old events are published again', async () => {
    const seen = recorder();
    const add = (n: number) =>
      database.pool.query(
        `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
         select 'account', 'a', 'Happened', to_jsonb(n), 'm' from generate_series(1, $1::integer) n order by n`,
        [n],
      );
    running = startRelay({ databaseUrl: database.url, publish: seen.publish, batchSize: 20 });
    await add(2_000);
    await allPublished(database.pool);
    await database.pool.query('update inbox.outbox set published_at = null');
    const began = performance.now();
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(seen.published).get('a'), [...oneTo(2_000), ...oneTo(2_000)]);
    assert.ok(
      performance.now() - began < 50_000,
      'it does not publish only one batch per full scan, of which there is one per second',
    );
  });

  it('does not depend on gaps alone: a full scan finds an event that appears below the floor', async () => {
    const seen = recorder();
    running = startRelay({ databaseUrl: database.url, publish: seen.publish });
    await publishOthers(200);
    await database.pool.query(
      `insert into inbox.outbox (position, aggregatetype, aggregateid, type, payload, message_id)
       overriding system value values (0, 'account', 'restored', 'Happened', '1', 'm')`,
    );
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(seen.published).get('restored'), [1]);
  });
});

describe('statements that address events by their id', () => {
  const ID = '00000000-0000-0000-0000-000000000001';
  const note = { actor: 'a', reason: 'r' };
  const rejection = { key: 'AA==', eventId: ID, error: 'e', attempts: 1, delayMs: 1 };
  const due = { before: '2026-01-01', below: ID };
  const STATEMENTS: [what: string, send: (db: Queryable) => Promise<unknown>][] = [
    ['mark', (db) => markPublished(db, ID, [ID])],
    ['park', (db) => parkAggregate(db, ID, rejection, [ID])],
    ['hold', (db) => moveToLanes(db, ID, [ID], ['1'])],
    ['release', (db) => releaseParkedEvents(db, [ID], note)],
    ['skip', (db) => skipParkedEvent(db, ID, note)],
    ['delete', (db) => deletePublished(db, due, [ID])],
  ];
  let database: TestDatabase;
  let client: PoolClient;

  before(async () => {
    database = await createTestDatabase();
    client = await database.pool.connect();
    // Without the index on the id, the plan shows whether another index could be used.
    await client.query(
      'begin; set local enable_seqscan = off; alter table inbox.outbox drop constraint outbox_pkey',
    );
  });
  after(async () => {
    await client.query('rollback');
    client.release();
    await database.drop();
  });

  async function plan(send: (db: Queryable) => Promise<unknown>): Promise<string> {
    let found = '';
    const explaining = {
      async query(text: string, values: unknown[]) {
        if (callsFunction(text)) {
          found += `on outbox${(await scannedIndexes(client, ['outbox_waiting'], text, values)).join('')}`;
          return { rows: [{}], rowCount: 0 };
        }
        const explain = await client.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values);
        found += explain.rows.map((row) => row['QUERY PLAN']).join('\n');
        return { rows: [{}], rowCount: 0 };
      },
    } as unknown as Queryable;
    await send(explaining);
    return found;
  }

  for (const [what, send] of STATEMENTS) {
    it(`${what}: cannot use the index of unpublished events`, async () => {
      const found = await plan(send);
      assert.match(found, /on outbox/);
      assert.doesNotMatch(found, /outbox_waiting/);
    });
  }

  it('differ from statements that read a lane, which use that index', async () => {
    const found = await plan((db) => unparkAggregate(db, ID, '1'));
    assert.match(found, /using outbox_waiting/);
  });
});
