/** What `runCommand` returns, what its handler sees, and that nothing of it remains. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { defineCommand, implement } from '../../../src/commands/define-command.ts';
import type { PrepareContext } from '../../../src/commands/define-command.ts';
import type { CommandLog } from '../../../src/core/command-log.ts';
import { runCommand } from '../../../src/testing/index.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/rows.ts';
import { behaving, createStock, freeTea, reserveStock, TAKE_TEA } from '../../support/test-commands.ts';
import { gate } from '../../support/wait.ts';

/** The number of rows of each table that is not Postgres's own. */
async function countRows(pool: Pool): Promise<Record<string, number>> {
  const tables = await rows<{ name: string }>(
    pool,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
  );
  const counts: Record<string, number> = {};
  for (const { name } of tables) {
    const [row] = await rows<{ count: number }>(pool, `select count(*)::integer as count from ${name}`);
    counts[name] = row!.count;
  }
  return counts;
}

describe('runCommand', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase();
    ({ pool } = database);
    await createStock(pool);
  });
  after(() => database.drop());

  it('returns the result, the events and the sent commands, and leaves no row in any table', async () => {
    const counts = await countRows(pool);
    assert.ok(counts['shop.stock'] === 1 && counts['inbox.entries'] === 0, JSON.stringify(counts));
    const run = await runCommand(reserveStock, {
      pool,
      messageId: 'order-1',
      payload: { sku: 'tea', quantity: 2 },
    });
    assert.deepEqual(run, {
      result: { free: 8 },
      events: [
        {
          aggregateType: 'stock',
          aggregateId: 'tea',
          type: 'StockReserved',
          payload: { sku: 'tea', quantity: 2 },
          metadata: {},
        },
      ],
      sent: [
        {
          type: 'ShipOrder',
          messageId: 'order-1-ship',
          payload: { orderId: 'order-1' },
          correlationId: 'order-1',
          causationId: 'order-1',
          metadata: {},
        },
      ],
    });
    assert.deepEqual(await countRows(pool), counts);
    assert.equal(await freeTea(pool), 10);
  });

  it('leaves no lock and no session state', async () => {
    const leaving = behaving(async ({ tx }) => {
      await tx.query(TAKE_TEA);
      await tx.query('select pg_advisory_lock(42)');
      await tx.query(`set application_name = 'left'`);
      await tx.query('prepare left_behind as select 1');
    });
    // Twice, because a second run on the same session would find the prepared statement.
    for (let run = 0; run < 2; run += 1)
      assert.equal((await runCommand(leaving, { pool, payload: {} })).result, null);
    const held = `select from pg_locks l join pg_database d on d.oid = l.database
      where d.datname = current_database() and l.locktype = 'advisory'`;
    assert.deepEqual(await rows(pool, held), []);
    assert.deepEqual(await rows(pool, `select from pg_stat_activity where application_name = 'left'`), []);
    await pool.query(`set lock_timeout = '2s'; ${TAKE_TEA}; reset lock_timeout`);
    await pool.query(`update shop.stock set free = 10 where sku = 'tea'`);
  });

  it('gives the handler the message and the attempt that the test describes', async () => {
    const lines: [string, unknown][] = [];
    const add = (message: string, fields?: unknown) => void lines.push([message, fields]);
    const log: CommandLog = { debug: add, info: add, warn: add, error: add };
    const seen: Record<string, unknown>[] = [];
    const look = defineCommand({
      type: 'Look',
      schema: z.object({ at: z.string().transform((text) => new Date(text)) }),
      handle({ tx: _tx, emit: _emit, send: _send, signal, log: own, ...others }) {
        own.info('seen', { more: 1 });
        seen.push({ ...others, aborted: signal.aborted });
      },
    });
    const receivedAt = new Date('2026-01-02T03:04:05Z');
    const given = {
      messageId: 'look-2',
      correlationId: 'flow-1',
      causationId: 'look-1',
      metadata: { tenant: 'a' },
      attempt: 2,
      generation: 3,
      receivedAt,
    };
    await runCommand(look, { pool, ...given, payload: { at: '2026-01-01' }, log });
    const payload = { at: new Date('2026-01-01') };
    assert.deepEqual(seen, [{ ...given, type: 'Look', payload, prepared: undefined, aborted: false }]);
    assert.deepEqual(lines, [['seen', { messageId: 'look-2', commandType: 'Look', attempt: 2, more: 1 }]]);

    await runCommand(look, { pool, payload: { at: '2026-01-01' }, log });
    const { messageId, attempt, generation, correlationId, causationId, metadata } = seen[1]!;
    assert.match(messageId, /^[0-9a-f-]{36}$/);
    assert.deepEqual([attempt, generation, correlationId, causationId, metadata], [1, 0, null, null, {}]);
  });

  it('gives the handler a copy of the payload, with the keys in the order of jsonb', async () => {
    const keys = defineCommand({
      type: 'Keys',
      schema: z.record(z.string(), z.int()),
      handle: ({ payload }) => Object.keys(payload),
    });
    const payload = { bb: 1, a: 2, é: 3, B: 4, '10': 5, '9': 6 };
    const [row] = await rows<{ stored: object }>(pool, 'select $1::jsonb as stored', [
      JSON.stringify(payload),
    ]);
    const { result } = await runCommand(keys, { pool, payload });
    assert.deepEqual(result, Object.keys(row!.stored));
    const changes = behaving(({ payload: own }) => void (own.n = 2));
    const sent = { n: 1 };
    await runCommand(changes, { pool, payload: sent });
    assert.deepEqual(sent, { n: 1 });
  });

  it('runs prepare outside the transaction, and passes its value on', async () => {
    const calls: string[] = [];
    const priced = defineCommand({
      type: 'Priced',
      schema: z.object({ sku: z.string() }),
      prepare: ({ payload, attempt, ...others }: PrepareContext<{ sku: string }>) => {
        calls.push(`prepare ${attempt}`);
        assert.ok(!('tx' in others));
        return { cents: payload.sku.length * 100 };
      },
      async handle({ prepared, tx }) {
        const { rows: found } = await tx.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
        calls.push('handle');
        return { cents: prepared.cents, isInTransaction: found.length === 1 };
      },
    });
    const { result } = await runCommand(priced, { pool, payload: { sku: 'tea' }, attempt: 2 });
    assert.deepEqual(result, { cents: 300, isInTransaction: true });
    assert.deepEqual(calls, ['prepare 2', 'handle']);
  });

  it('returns the result of a contract as a caller of execute gets it', async () => {
    const contract = defineContract({
      type: 'Quote',
      schema: z.object({ cents: z.string().transform(Number) }),
      result: z.object({ at: z.string().transform((text) => new Date(text)), cents: z.int() }),
    });
    const quote = implement(contract, {
      handle: ({ payload }) => ({ at: '2026-01-01T00:00:00Z', cents: payload.cents }),
    });
    const { result } = await runCommand(quote, { pool, payload: { cents: '5' } });
    assert.deepEqual(result, { at: new Date('2026-01-01'), cents: 5 });
  });

  it('runs express, recorded and long-running commands like all others', async () => {
    const common = { type: 'Mode', schema: z.object({}), handle: () => 'done' } as const;
    const express = defineCommand({ ...common, express: true });
    const recorded = defineCommand({ ...common, express: 'recorded' });
    const longRunning = defineCommand({ ...common, longRunning: true });
    for (const command of [express, recorded, longRunning])
      assert.equal((await runCommand(command, { pool, payload: {} })).result, 'done');
  });

  it('runs commands at the same time, each in a transaction of its own', async () => {
    // The handlers wait for each other, so neither can have ended before the other began.
    let arrived = 0;
    const both = gate();
    const meet = behaving(async ({ tx, payload }) => {
      await tx.query('insert into shop.stock values ($1, 1)', [`sku-${payload.n}`]);
      arrived += 1;
      if (arrived === 2) both.open();
      await both.opened;
      const { rows: found } = await tx.query(`select sku from shop.stock where sku like 'sku-%'`);
      return found;
    });
    const runs = await Promise.all([1, 2].map((n) => runCommand(meet, { pool, payload: { n } })));
    assert.deepEqual(
      runs.map(({ result }) => result),
      [[{ sku: 'sku-1' }], [{ sku: 'sku-2' }]],
    );
    assert.deepEqual(await rows(pool, `select from shop.stock where sku like 'sku-%'`), []);
  });

  it('works in a database without the inbox’s schema', async () => {
    const plain = await createTestDatabase('empty');
    try {
      await createStock(plain.pool);
      const run = await runCommand(reserveStock, {
        pool: plain.pool,
        messageId: 'order-1',
        payload: { sku: 'tea', quantity: 2 },
      });
      assert.deepEqual(run.result, { free: 8 });
      assert.deepEqual(
        run.sent.map(({ messageId }) => messageId),
        ['order-1-ship'],
      );
      assert.deepEqual(await countRows(plain.pool), { 'shop.stock': 1 });
      assert.equal(await freeTea(plain.pool), 10);
    } finally {
      await plain.drop();
    }
  });
});
