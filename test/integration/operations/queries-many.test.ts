/**
 * Operators' queries read indexes, however many finished messages there are.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { deadLetters, failureGroups, list, show, stats } from '../../../src/operations/index.ts';
import { findOutboxLag } from '../../../src/store/outbox-lag.ts';
import { runCli } from '../../support/cli.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { seedDeadLetters, seedThousands, wholeTablesRead } from '../../support/plans.ts';
import { rows } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';

const ENTRIES = 250_000;
const LETTERS = 200_000;
const OPEN = 50;

describe('queries on large tables', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase();
    pool = database.pool;
    await seedThousands(pool, ENTRIES);
    await seedDeadLetters(pool, LETTERS, OPEN);
    await seedOpen(pool, 'waits', 'Pending', { days: 0 });
  });
  after(() => database.drop());

  const hour = new Date(Date.now() - 3_600_000);
  for (const [what, query] of [
    ['groups', (db: Pool) => failureGroups(db)],
    ['groups of the last hour', (db: Pool) => failureGroups(db, { since: hour })],
    ['open dead letters', (db: Pool) => deadLetters(db, { limit: 20 })],
    ['dead letters of a group', (db: Pool) => deadLetters(db, { limit: 20, failureGroup: 'Pay/Broken/0' })],
    ['dead letters with a text', (db: Pool) => deadLetters(db, { limit: 20, text: 'BY 4' })],
    ['all dead letters', (db: Pool) => deadLetters(db, { limit: 20, state: 'all' })],
    ['entries of a flow', (db: Pool) => list(db, { correlationId: `flow-${ENTRIES}`, limit: 20 })],
  ] as const) {
    it(`finds ${what} without reading a whole table`, async () => {
      assert.ok((await query(pool)).length > 0);
      assert.deepEqual(await wholeTablesRead(pool, query), []);
    });
  }

  it('pages through the open dead letters, each once', async () => {
    const found: string[] = [];
    let from: string | undefined;
    for (;;) {
      const page = await deadLetters(pool, { limit: 20, ...(from !== undefined && { before: from }) });
      found.push(...page.map(({ messageId }) => messageId));
      if (page.length < 20) break;
      from = page.at(-1)!.id;
    }
    assert.equal(found.length, OPEN);
    assert.equal(new Set(found).size, OPEN);
  });

  it('shows a message’s history and causes through indexes', async () => {
    const { related, flow } = await show(pool, `message-${ENTRIES}`);
    assert.deepEqual([related[0]!.messageId, related[0]!.depth, flow], [`message-${ENTRIES - 1}`, -1, 0]);
    const read = await wholeTablesRead(pool, (db) => show(db, `message-${ENTRIES}`));
    // Ignore the other tables: they are empty here, so Postgres scans them.
    assert.deepEqual(
      read.filter((scan) => /entries|dead_letters/.test(scan)),
      [],
    );
  });

  it('estimates Completed entries, counts all others, and counts everything with --exact', async () => {
    const { entries } = await stats(pool);
    assert.deepEqual(
      entries.map(({ commandType, status, estimated }) => [commandType, status, estimated]),
      [
        ['Pay', 'Completed', true],
        ['Refund', 'Completed', true],
        ['Seeded', 'Pending', false],
      ],
    );
    const [pay, refund, pending] = entries;
    assert.equal(pending!.count, 1);
    assert.ok(pay!.count > 0.8 * ENTRIES && pay!.count < ENTRIES, `${pay!.count}`);
    assert.ok(refund!.count > 0.08 * ENTRIES && refund!.count < 0.12 * ENTRIES, `${refund!.count}`);
    const read = await wholeTablesRead(pool, (db) => stats(db));
    assert.deepEqual(
      read.filter((scan) => /entries|dead_letters/.test(scan)),
      [],
    );

    const exact = await stats(pool, { exact: true });
    assert.deepEqual(
      exact.entries.map(({ count, estimated }) => [count, estimated]),
      [
        [0.9 * ENTRIES, false],
        [0.1 * ENTRIES, false],
        [1, false],
      ],
    );
    const env = { DATABASE_URL: database.url };
    const estimated = (await runCli(['stats'], env)).stdout;
    assert.match(estimated, /Pay +Completed +~2\d+000 *\n/);
    assert.match((await runCli(['stats', '--exact'], env)).stdout, /Pay +Completed +225000 +\d+d/);
  });

  it('counts received messages and dead letters of the last minutes', async () => {
    const count = async () => {
      const [found] = await rows<{ received: number; dead: number }>(
        pool,
        `select (select count(*) from inbox.entries where received_at >= now() - interval '15 minutes')::integer as received,
           (select count(*) from inbox.dead_letters where dead_at >= now() - interval '15 minutes')::integer as dead`,
      );
      return found!;
    };
    // No more messages arrive, so each query finds at most as many as the one before.
    const [first, { rates }, last] = [await count(), await stats(pool), await count()];
    const { received, completed, deadLettered } = rates[1]!;
    assert.ok(first.received >= received && received >= last.received, `${received}`);
    assert.ok(first.dead >= deadLettered && deadLettered >= last.dead, `${deadLettered}`);
    assert.equal(completed, received - 1);
    assert.ok(received > rates[0]!.received && rates[2]!.received > received);
  });

  it('reads the outbox lag through an index', async () => {
    await pool.query(
      `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id, published_at)
       select 'a', 'b', 'Happened', '{}', 'waits', now() from generate_series(1, 20000)`,
    );
    await pool.query('analyze inbox.outbox');
    const read = await wholeTablesRead(pool, (db) => findOutboxLag(db, 60_000));
    assert.deepEqual(
      // Ignore the lease table, which has one row.
      read.filter((scan) => scan.endsWith(' outbox')),
      [],
    );
  });
});
