import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { HandlerContext, OutboxEvent, Transaction } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

type Behavior = (context: HandlerContext<{ behavior: string }>) => Promise<unknown>;

const effect = (tx: Transaction, what: string) => tx.query('insert into effects (what) values ($1)', [what]);
const slowHandler = { queried: gate(), released: gate(), error: null as unknown };
const kept: { tx?: Transaction } = {};

/** What the handler does wrong. The payload `{ behavior: name }` selects one. */
const behaviors: Record<string, Behavior> = {
  async commitsItself({ tx, messageId }) {
    await effect(tx, messageId);
    await tx.query('commit');
  },
  async swallowsSqlError({ tx, messageId }) {
    await effect(tx, messageId);
    await tx.query('select 1 / 0').catch(() => 'never mind');
    return 'fine';
  },
  async forgetsAwait({ tx, messageId }) {
    await effect(tx, messageId);
    void tx.query('select * from no_such_table');
    return 'fine';
  },
  async keepsTx({ tx, messageId }) {
    kept.tx = tx;
    await effect(tx, messageId);
    return 'fine';
  },
  async returnsDate() {
    return { at: new Date(0) };
  },
  async returnsNothing() {},
  async throwsText() {
    // eslint-disable-next-line no-throw-literal
    throw 'just text';
  },
  async throwsLongText() {
    throw new Error(`long\u0000${'é'.repeat(2_000_000)}`);
  },
  async emitsNaN({ emit, messageId, tx }) {
    await effect(tx, messageId);
    emit({ aggregateType: 'a', aggregateId: '1', type: 'T', payload: { n: Number.NaN } });
  },
  async emitsWithoutAggregateId({ emit }) {
    emit({ aggregateType: 'a', type: 'T', payload: 1 } as unknown as OutboxEvent);
  },
  async emitsTooLarge({ emit, messageId, tx }) {
    await effect(tx, messageId);
    emit({ aggregateType: 'a', aggregateId: 'x'.repeat(400_000), type: 'T', payload: 1 });
  },
  async hangs({ tx, messageId, signal }) {
    await effect(tx, messageId);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  },
  async hangsInSql({ tx, messageId }) {
    await effect(tx, messageId);
    await tx.query('select pg_sleep(60)');
  },
  async ignoresItsTimeout({ tx, messageId, attempt }) {
    if (attempt > 1) return 'second attempt';
    await slowHandler.released.opened;
    await effect(tx, messageId).catch((error: unknown) => (slowHandler.error = error));
    slowHandler.queried.open();
    return 'too late';
  },
  async meetsConflict({ tx, attempt }) {
    if (attempt === 1) await tx.query(`do $$ begin raise serialization_failure; end $$`);
    return attempt;
  },
};

const misbehave = defineCommand({
  type: 'Misbehave',
  schema: z.object({ behavior: z.string() }),
  retry: { maximumAttempts: 2, initialInterval: '10ms' },
  timeout: '700ms',
  handle: (context) => behaviors[context.payload.behavior]!(context),
});

describe('a handler that', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (what text)');
    await inbox.startWorker([misbehave]);
  });
  after(() => inbox.close());

  async function run(behavior: string) {
    const messageId = inbox.id(behavior);
    const handle = await inbox.start(messageId, { commandType: 'Misbehave', payload: { behavior } });
    return { messageId, handle };
  }

  async function runUntilDead(behavior: string) {
    const { messageId } = await run(behavior);
    const entry = await inbox.reaches(messageId, 'DeadLetter');
    const failures = await listFailures(inbox.pool, messageId);
    return { messageId, entry, failures };
  }

  const effectsOf = (messageId: string) =>
    rows(inbox.pool, 'select from effects where what = $1', [messageId]);
  const eventsOf = (messageId: string) =>
    rows(inbox.pool, `select from inbox.outbox where message_id = $1 and aggregatetype <> 'inbox'`, [
      messageId,
    ]);

  it('ends the transaction itself becomes a dead letter and is never Completed', async () => {
    const { entry } = await runUntilDead('commitsItself');
    assert.match(entry.error!, /^TransactionEnded: /);
    assert.equal(entry.attempt, 1);
  });

  it('swallows an SQL error loses its transaction, and the failure names the failed statement', async () => {
    const { messageId, failures } = await runUntilDead('swallowsSqlError');
    assert.equal(failures.length, 2);
    assert.match(failures[0]!.error, /^TransactionAborted: .*division by zero/);
    assert.deepEqual(await effectsOf(messageId), []);
  });

  it('forgets to await a failing query neither completes nor ends the process', async () => {
    const { messageId, failures } = await runUntilDead('forgetsAwait');
    assert.match(failures[0]!.error, /no_such_table/);
    assert.deepEqual(await effectsOf(messageId), []);
  });

  it('keeps tx after it returned can no longer use it', async () => {
    const { messageId, handle } = await run('keepsTx');
    assert.equal(await handle.result(), 'fine');
    // A rejection that nobody awaits does not end the process.
    void kept.tx!.query('select 1');
    await assert.rejects(kept.tx!.query('select 1'), /used after its handler returned/);
    assert.equal((await effectsOf(messageId)).length, 1);
  });

  it('returns a result that is not JSON becomes a dead letter at once', async () => {
    const { entry } = await runUntilDead('returnsDate');
    assert.match(entry.error!, /^InvalidResult: result\.at is a Date/);
  });

  it('returns nothing completes with the result null', async () => {
    const { handle } = await run('returnsNothing');
    assert.equal(await handle.result(), null);
  });

  it('throws a value that is not an error fails like any other', async () => {
    const { entry, failures } = await runUntilDead('throwsText');
    assert.equal(entry.error, 'NotAnError: threw string: just text');
    assert.equal(failures.length, 2);
  });

  it('throws an error of megabytes that contains a NUL is recorded in at most 4 KB', async () => {
    const { entry } = await runUntilDead('throwsLongText');
    assert.ok(Buffer.byteLength(entry.error!) <= 4096);
    assert.match(entry.error!, /^Error: longé+…$/);
  });

  for (const [behavior, problem] of [
    ['emitsNaN', /^InvalidEvent: emit\(T\): event\.payload\.n is NaN/],
    ['emitsTooLarge', /^InvalidEvent: emit\(T\): aggregateId is 400,000 bytes; the limit is 255/],
    ['emitsWithoutAggregateId', /^InvalidEvent: emit\(T\): aggregateId must be non-empty text/],
  ] as const) {
    it(`emits an invalid event becomes a dead letter at once, without effects or events: ${behavior}`, async () => {
      const { messageId, entry } = await runUntilDead(behavior);
      assert.match(entry.error!, problem);
      assert.deepEqual(await effectsOf(messageId), []);
      assert.deepEqual(await eventsOf(messageId), []);
    });
  }

  for (const behavior of ['hangs', 'hangsInSql']) {
    it(`hangs is stopped at its timeout, rolled back and counted as failed: ${behavior}`, async () => {
      const { messageId, failures } = await runUntilDead(behavior);
      assert.equal(failures.length, 2);
      assert.match(
        failures[1]!.error,
        /^(Timeout: the attempt took longer than its timeout of 700 ms|SQLSTATE 57014: )/,
      );
      assert.deepEqual(await effectsOf(messageId), []);
    });
  }

  it('continues after its timeout can no longer change anything', async () => {
    const { messageId, handle } = await run('ignoresItsTimeout');
    assert.equal(await handle.result(), 'second attempt');
    slowHandler.released.open();
    await slowHandler.queried.opened;
    assert.ok(slowHandler.error instanceof Error);
    assert.deepEqual(await effectsOf(messageId), []);
    assert.equal((await inbox.entry(messageId))?.result, 'second attempt');
  });

  it('hits a serialization failure is retried', async () => {
    const { messageId, handle } = await run('meetsConflict');
    assert.equal(await handle.result(), 2);
    assert.match((await listFailures(inbox.pool, messageId))[0]!.error, /^SQLSTATE 40001: /);
  });

  it('misbehaves leaves no connection idle in transaction', async () => {
    await eventually('all transactions have ended', async () => {
      const open = await rows(
        inbox.pool,
        `select state, query from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
      );
      return open.length === 0;
    });
  });
});
