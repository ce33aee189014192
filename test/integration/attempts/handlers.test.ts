import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { HandlerContext, OutboxEvent, Transaction } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

type Behaviour = (context: HandlerContext<{ behaviour: string }>) => Promise<unknown>;

const effect = (tx: Transaction, what: string) => tx.query('insert into effects (what) values ($1)', [what]);
const late = { queried: gate(), let: gate(), error: null as unknown };
const leaked: { tx?: Transaction } = {};

/** What handlers do wrong, by name; each is given a payload `{ behaviour: name }`. */
const behaviours: Record<string, Behaviour> = {
  async commits({ tx, messageId }) {
    await effect(tx, messageId);
    await tx.query('commit');
  },
  async swallows({ tx, messageId }) {
    await effect(tx, messageId);
    await tx.query('select 1 / 0').catch(() => 'never mind');
    return 'fine';
  },
  async forgets({ tx, messageId }) {
    await effect(tx, messageId);
    void tx.query('select * from no_such_table');
    return 'fine';
  },
  async leaks({ tx, messageId }) {
    leaked.tx = tx;
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
  async emitsNonsense({ emit, messageId, tx }) {
    await effect(tx, messageId);
    emit({ aggregateType: 'a', aggregateId: '1', type: 'T', payload: { n: Number.NaN } });
  },
  async emitsIncomplete({ emit }) {
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
    await late.let.opened;
    await effect(tx, messageId).catch((error: unknown) => (late.error = error));
    late.queried.open();
    return 'too late';
  },
  async conflicts({ tx, attempt }) {
    if (attempt === 1) await tx.query(`do $$ begin raise serialization_failure; end $$`);
    return attempt;
  },
};

const misbehave = defineCommand({
  type: 'Misbehave',
  schema: z.object({ behaviour: z.string() }),
  retry: { maximumAttempts: 2, initialInterval: '10ms' },
  timeout: '700ms',
  handle: (context) => behaviours[context.payload.behaviour]!(context),
});

describe('a handler that', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (what text)');
    await inbox.startWorker([misbehave]);
  });
  after(() => inbox.close());

  async function run(behaviour: string) {
    const messageId = inbox.id(behaviour);
    const handle = await inbox.start(messageId, { commandType: 'Misbehave', payload: { behaviour } });
    return { messageId, handle };
  }

  async function dies(behaviour: string) {
    const { messageId } = await run(behaviour);
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

  it('ends the transaction itself is a dead letter, and is never called Completed', async () => {
    const { entry } = await dies('commits');
    assert.match(entry.error!, /^TransactionEnded: /);
    assert.equal(entry.attempt, 1);
  });

  it('swallows an SQL error has lost its transaction, and is told which statement failed', async () => {
    const { messageId, failures } = await dies('swallows');
    assert.equal(failures.length, 2);
    assert.match(failures[0]!.error, /^TransactionAborted: .*division by zero/);
    assert.deepEqual(await effectsOf(messageId), []);
  });

  it('forgets to await a failing query neither completes nor ends the process', async () => {
    const { messageId, failures } = await dies('forgets');
    assert.match(failures[0]!.error, /no_such_table/);
    assert.deepEqual(await effectsOf(messageId), []);
  });

  it('keeps tx for later finds it dead', async () => {
    const { messageId, handle } = await run('leaks');
    assert.equal(await handle.result(), 'fine');
    // One that nobody awaits does not end the process.
    void leaked.tx!.query('select 1');
    await assert.rejects(leaked.tx!.query('select 1'), /used after its handler had returned/);
    assert.equal((await effectsOf(messageId)).length, 1);
  });

  it('returns what is not JSON is a dead letter at once, and nothing of it is kept', async () => {
    const { entry } = await dies('returnsDate');
    assert.match(entry.error!, /^InvalidResult: result\.at is a Date/);
  });

  it('returns nothing completes with null', async () => {
    const { handle } = await run('returnsNothing');
    assert.equal(await handle.result(), null);
  });

  it('throws what is not an error fails like any other', async () => {
    const { entry, failures } = await dies('throwsText');
    assert.equal(entry.error, 'NotAnError: threw string: just text');
    assert.equal(failures.length, 2);
  });

  it('throws megabytes with a NUL in them is recorded in at most 4 KB', async () => {
    const { entry } = await dies('throwsLongText');
    assert.ok(Buffer.byteLength(entry.error!) <= 4096);
    assert.match(entry.error!, /^Error: longé+…$/);
  });

  for (const [behaviour, problem] of [
    ['emitsNonsense', /^InvalidEvent: emit\(T\): event\.payload\.n is NaN/],
    ['emitsTooLarge', /^InvalidEvent: emit\(T\): aggregateId is 400,000 bytes; the limit is 255/],
    ['emitsIncomplete', /^InvalidEvent: emit\(T\): aggregateId must be text/],
  ] as const) {
    it(`${behaviour} is a dead letter at once, without effect or event`, async () => {
      const { messageId, entry } = await dies(behaviour);
      assert.match(entry.error!, problem);
      assert.deepEqual(await effectsOf(messageId), []);
      assert.deepEqual(await eventsOf(messageId), []);
    });
  }

  for (const behaviour of ['hangs', 'hangsInSql']) {
    it(`${behaviour} past its timeout is stopped, rolled back and counted`, async () => {
      const { messageId, failures } = await dies(behaviour);
      assert.equal(failures.length, 2);
      assert.match(
        failures[1]!.error,
        /^(Timeout: the attempt took longer than its timeout of 700 ms|SQLSTATE 57014: )/,
      );
      assert.deepEqual(await effectsOf(messageId), []);
    });
  }

  it('goes on after its timeout can change nothing any more', async () => {
    const { messageId, handle } = await run('ignoresItsTimeout');
    assert.equal(await handle.result(), 'second attempt');
    late.let.open();
    await late.queried.opened;
    assert.ok(late.error instanceof Error);
    assert.deepEqual(await effectsOf(messageId), []);
    assert.equal((await inbox.entry(messageId))?.result, 'second attempt');
  });

  it('meets a serialization failure is tried again', async () => {
    const { messageId, handle } = await run('conflicts');
    assert.equal(await handle.result(), 2);
    assert.match((await listFailures(inbox.pool, messageId))[0]!.error, /^SQLSTATE 40001: /);
  });

  it('leaves no connection idle in transaction', async () => {
    await eventually('every transaction ended', async () => {
      const open = await rows(
        inbox.pool,
        `select state, query from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
      );
      return open.length === 0;
    });
  });
});
