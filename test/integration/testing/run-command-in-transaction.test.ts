/** `runCommand` in a transaction of the test: a savepoint, and what remains of it. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { Pool, PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import { UnrecoverableError, UnusableTransactionError } from '../../../src/core/errors.ts';
import { AttemptFailedError, runCommand } from '../../../src/testing/index.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { behaving, createStock, freeTea, reserveStock, TAKE_TEA } from '../../support/test-commands.ts';
import { gate } from '../../support/wait.ts';

async function readLimits(on: Pick<PoolClient, 'query'>): Promise<unknown[]> {
  const { rows } = await on.query(
    `select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement`,
  );
  return rows;
}

describe('runCommand in the transaction of a test', () => {
  let database: TestDatabase;
  let pool: Pool;
  let tx: PoolClient;

  before(async () => {
    database = await createTestDatabase();
    ({ pool } = database);
    await createStock(pool);
  });
  after(() => database.drop());

  beforeEach(async () => {
    tx = await pool.connect();
    await tx.query('begin');
  });
  afterEach(async () => {
    await tx.query('rollback');
    tx.release();
  });

  async function freeInTransaction(): Promise<number> {
    const { rows } = await tx.query<{ free: number }>(`select free from shop.stock where sku = 'tea'`);
    return rows[0]!.free;
  }
  const messageId = 'order-1';
  const payload = { sku: 'tea', quantity: 2 };

  it('sees what the test has inserted, and rolls back only its own changes', async () => {
    await tx.query('update shop.stock set free = 5');
    const { result } = await runCommand(reserveStock, { tx, payload });
    assert.deepEqual(result, { free: 3 });
    assert.equal(await freeInTransaction(), 5);
    assert.equal(await freeTea(pool), 10);
  });

  it('keeps its changes in the transaction on request, but stores neither an entry nor an event', async () => {
    await runCommand(reserveStock, { tx, messageId, payload, keep: true });
    const { result, sent } = await runCommand(reserveStock, { tx, messageId, payload, keep: true });
    assert.deepEqual(result, { free: 6 });
    assert.deepEqual(
      sent.map((each) => each.messageId),
      ['order-1-ship'],
    );
    assert.equal(await freeInTransaction(), 6);
    const { rows } = await tx.query('select message_id from inbox.entries');
    assert.deepEqual(rows, [{ message_id: 'order-1-ship' }]);
    const outbox = await tx.query('select from inbox.outbox');
    assert.equal(outbox.rowCount, 0);
    assert.equal(await freeTea(pool), 10);
  });

  it('rolls a failed attempt back, with keep too, and leaves the transaction usable', async () => {
    const failing = behaving(async ({ tx: own }) => {
      await own.query(TAKE_TEA);
      await own.query('select 1 / 0');
    });
    await tx.query('update shop.stock set free = 5');
    for (const keep of [true, false]) {
      await assert.rejects(runCommand(failing, { tx, payload: {}, keep }), { code: '22012' });
      const unknown = runCommand(reserveStock, { tx, payload: { ...payload, sku: 'unknown' }, keep });
      await assert.rejects(unknown, UnrecoverableError);
      assert.equal(await freeInTransaction(), 5);
    }
  });

  it('restores the limits of the transaction', async () => {
    await tx.query(`set local lock_timeout = '7s'; set local statement_timeout = '8s'`);
    const reading = behaving(({ tx: own }) => readLimits(own));
    for (const keep of [true, false]) {
      const { result } = await runCommand(reading, { tx, payload: {}, keep });
      assert.deepEqual(result, [{ lock: '5s', statement: '5s' }]);
      assert.deepEqual(await readLimits(tx), [{ lock: '7s', statement: '8s' }]);
    }
  });

  it('checks deferred constraints, and leaves them deferred', async () => {
    await tx.query(`create table shop.lines (sku text references shop.stock deferrable initially deferred)`);
    const adding = behaving(
      async ({ tx: own }) => void (await own.query(`insert into shop.lines values ('none')`)),
    );
    await assert.rejects(runCommand(adding, { tx, payload: {} }), { code: '23503' });
    const harmless = behaving(async ({ tx: own }) => void (await own.query(TAKE_TEA)));
    await runCommand(harmless, { tx, payload: {}, keep: true });
    await tx.query(`insert into shop.lines values ('none')`);
  });

  it('ends a handler that hangs in a statement, and leaves the transaction usable', async () => {
    const hanging = behaving(async ({ tx: own }) => {
      await own.query(TAKE_TEA);
      await own.query('select pg_sleep(3600)');
    }, 300);
    await tx.query('update shop.stock set free = 5');
    await assert.rejects(
      runCommand(hanging, { tx, payload: {} }),
      (error) => error instanceof AttemptFailedError && error.errorType === 'Timeout',
    );
    assert.equal(await freeInTransaction(), 5);
  });

  it('notices that the handler ended the transaction on another way than tx', async () => {
    const ending = behaving(async () => {
      await tx.query('rollback');
      await tx.query('begin');
    });
    await assert.rejects(runCommand(ending, { tx, payload: {} }), {
      errorType: 'TransactionEnded',
      retryable: false,
    });
  });

  it('works on the tx of another handler, and inside of a transaction that it has begun there', async () => {
    const outer = behaving(async ({ tx: own }) => {
      await own.query('begin');
      const inner = await runCommand(reserveStock, { tx: own, payload, keep: true });
      await own.query('rollback');
      const again = await runCommand(reserveStock, { tx: own, payload });
      return [inner.result, again.result];
    });
    const { result } = await runCommand(outer, { pool, payload: {} });
    assert.deepEqual(result, [{ free: 8 }, { free: 8 }]);
  });

  it('refuses cursors, like a worker', async () => {
    const reading = behaving(({ tx: own }) => own.query(new Cursor('select 1')).read(1));
    for (const place of [{ tx }, { pool }])
      await assert.rejects(
        runCommand(reading, { ...place, payload: {} }),
        /cursors and streams do not work on it/,
      );
  });

  it('refuses two at once on one connection, and lets the first one finish', async () => {
    const { opened, open } = gate();
    const waiting = behaving(async ({ tx: own }) => {
      await own.query(TAKE_TEA);
      await opened;
      return 'finished';
    });
    const first = runCommand(waiting, { tx, payload: {} });
    await assert.rejects(runCommand(reserveStock, { tx, payload }), (error) => {
      assert.ok(error instanceof UnusableTransactionError);
      return error.message.startsWith('tx is in use by another runCommand');
    });
    open();
    assert.equal((await first).result, 'finished');
    assert.deepEqual((await runCommand(reserveStock, { tx, payload })).result, { free: 8 });
  });

  it('refuses a client that is not in a transaction, or whose transaction was aborted', async () => {
    await tx.query('select 1 / 0').catch(() => {});
    await assert.rejects(runCommand(reserveStock, { tx, payload }), {
      name: 'UnusableTransactionError',
      message: /^the transaction of tx was aborted by an earlier error/,
    });
    await tx.query('rollback');
    await assert.rejects(runCommand(reserveStock, { tx, payload }), {
      name: 'UnusableTransactionError',
      message: /^tx is not in a transaction: send BEGIN first/,
    });
  });
});
