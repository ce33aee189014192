/**
 * Dry runs of handlers that try to escape the transaction. No change remains, no lock is held, and the result says what
 * happened.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { HandlerContext } from '../../../src/commands/define-command.ts';
import type { Duration } from '../../../src/core/duration.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { sqlState } from '../../../src/platform/postgres.ts';
import { dryRun } from '../../../src/operations/index.ts';
import type { DryRunOptions, DryRunResult } from '../../../src/operations/index.ts';
import { beginDryRun, endDryRun, findCommittedDryRun } from '../../../src/store/dry-run.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

type Behavior = (context: HandlerContext<unknown>) => Promise<unknown>;

const INSERT = `insert into effects values ('written')`;
const ADVISORY_LOCK = 77_001;

/** Each handler would leave a row in `effects` if a single COMMIT got through. */
const committing: Record<string, Behavior> = {
  async 'rolls back into a new transaction'({ tx }) {
    await tx.query('rollback and chain');
    await tx.query(INSERT);
    await tx.query('commit');
  },
  async 'commits into a new transaction'({ tx }) {
    await tx.query('commit and chain').catch(() => {});
    await tx.query(INSERT);
    await tx.query('commit');
  },
  async 'begins a transaction that can write'({ tx }) {
    await tx.query('rollback');
    await tx.query('begin read write');
    await tx.query(INSERT);
    await tx.query('commit');
  },
  async 'begins a transaction that can write, in one query text'({ tx }) {
    await tx.query(`rollback; begin read write; ${INSERT}; commit`);
  },
  async 'makes its session writable'({ tx }) {
    await tx.query('abort');
    await tx.query('set default_transaction_read_only = off');
    await tx.query(INSERT);
  },
  async 'hides the keywords behind comments and strings'({ tx }) {
    await tx.query(`/* ; /* ' */ */ select 'it''s; --', E'\\'; x', $a$ ; $a$ -- ' ; begin
      ; RoLLback /* now */ work; begin read write; ${INSERT}; commit`);
  },
  async 'passes query configs'({ tx }) {
    await tx.query({ text: 'rollback and chain' });
    await tx.query(INSERT);
    await tx.query({ text: 'end' });
  },
  async 'awaits none of its statements'({ tx }) {
    for (const text of ['rollback', 'begin read write', INSERT, 'commit']) void tx.query(text);
  },
  async 'swallows an error and commits the failed transaction'({ tx }) {
    await tx.query('select 1 / 0').catch(() => {});
    void tx.query('commit').catch(() => {});
  },
  async 'sets the flag that disables the guard'({ tx }) {
    await tx.query(`select set_config('inbox.dry_run_is_checked', 'yes', true)`);
    await tx.query(INSERT);
    await tx.query('commit');
  },
};

const slow: Behavior = async ({ tx }) => {
  await tx.query(INSERT);
  await tx.query('select pg_sleep(3)');
  await tx.query('select pg_sleep(60)');
};
const throws: Behavior = async () => {
  throw new Error('not now');
};

const command = (handle: Behavior, timeout: Duration = '5s') =>
  defineCommand({ type: 'Seeded', schema: z.unknown(), timeout, handle });
const typeOf = (result: DryRunResult | undefined) =>
  result?.outcome === 'fails' ? result.failure.type : result?.outcome;

describe('a dry run of a misbehaving handler', () => {
  let fixture: TestInbox;
  let messageId: string;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (what text)');
    messageId = fixture.id('dead');
    await seedOpen(fixture.pool, messageId, 'DeadLetter', { days: 1 });
    await seedOpen(fixture.pool, fixture.id('other'), 'DeadLetter', { days: 1 });
  });
  after(() => fixture.close());

  const run = (handle: Behavior, options: Partial<DryRunOptions> & { timeout?: Duration } = {}) =>
    dryRun({
      databaseUrl: fixture.database.url,
      commands: [command(handle, options.timeout)],
      messageIds: [messageId],
      log: { debug() {}, info() {}, warn() {}, error() {} },
      ...options,
    });

  async function assertNothingRemains(): Promise<void> {
    for (const table of ['effects', 'inbox.dry_run']) {
      assert.deepEqual(await rows(fixture.pool, `select * from ${table}`), [], table);
    }
  }

  beforeEach(() => fixture.pool.query('truncate effects'));

  for (const [name, behavior] of Object.entries(committing)) {
    it(`fails with TransactionEnded and changes nothing when the handler ${name}`, async () => {
      const [result] = await run(behavior);
      await assertNothingRemains();
      assert.equal(typeOf(result), 'TransactionEnded');
    });
  }

  it('refuses a Submittable that the handler passes to the connection', async () => {
    let submitted = false;
    const submittable = { submit: () => (submitted = true), handleError() {} };
    const [result] = await run(({ tx }) => tx.query(submittable as never));
    assert.equal(typeOf(result), 'TransactionEnded');
    assert.equal(submitted, false);
  });

  it('reports the error of a failing statement that the handler did not await', async () => {
    const [result] = await run(async ({ tx }) => void tx.query('select * from no_such_table'));
    assert.equal(typeOf(result), 'TransactionAborted');
    assert.match(result?.outcome === 'fails' ? result.failure.message : '', /no_such_table/);
    await assertNothingRemains();
  });

  it('releases session-level locks at the end of each run', async () => {
    const held = `select from pg_locks where locktype = 'advisory' and objid = ${ADVISORY_LOCK}`;
    const counts: number[] = [];
    const handler: Behavior = async ({ tx }) => {
      counts.push((await rows(fixture.pool, held)).length);
      await tx.query('select pg_advisory_lock($1)', [ADVISORY_LOCK]);
      counts.push((await rows(fixture.pool, held)).length);
    };
    await run(handler, { messageIds: [messageId, fixture.id('other')] });
    assert.deepEqual(counts, [0, 1, 0, 1]);
  });

  it('ends the session when a long statement is running at the timeout', async () => {
    const [result] = await run(slow, { timeout: '4s' });
    assert.equal(typeOf(result), 'Timeout');
    // Postgres's statement timeout would end it only 3 seconds later.
    const sql = `select from pg_stat_activity where datname = current_database() and application_name = 'inbox dry-run'`;
    await eventually(
      'its session has ended',
      async () => (await rows(fixture.pool, sql)).length === 0,
      2_000,
    );
    await assertNothingRemains();
  });

  it('delivers no notifications', async () => {
    const listener = await fixture.pool.connect();
    try {
      const received: (string | undefined)[] = [];
      listener.on('notification', ({ payload }) => received.push(payload));
      await listener.query('listen mischief');
      const [result] = await run(({ tx }) =>
        tx.query(`select pg_notify('mischief', 'dry')`).then(() => null),
      );
      assert.equal(typeOf(result), 'completes');
      // Notifications arrive in commit order: once this one has arrived, no earlier one is outstanding.
      await fixture.pool.query(`select pg_notify('mischief', 'real')`);
      await eventually('the real notification has arrived', () => received.includes('real'));
      assert.deepEqual(received, ['real']);
    } finally {
      listener.removeAllListeners('notification');
      await listener.query('unlisten mischief');
      listener.release();
    }
  });

  it('passes the payload null to the handler, as a replay does', async () => {
    const [result] = await run(async ({ payload }) => ({ payload: payload as null }), { payload: null });
    assert.deepEqual(result?.outcome === 'completes' && result.result, { payload: null });
  });

  it('refuses one payload for several messages, and a payload that is too large', async () => {
    const messageIds = [messageId, fixture.id('other')];
    let runs = 0;
    const handler: Behavior = async () => (runs += 1);
    await assert.rejects(run(handler, { messageIds, payload: {} }), /payload needs exactly one message id/);
    await assert.rejects(
      run(handler, { messageIds: [messageId], payload: 'x'.repeat(50), maxPayloadBytes: 40 }),
    );
    assert.equal(runs, 0);
  });

  it('reports a transient failure as retryable only if attempts are left', async () => {
    for (const maximumAttempts of [1, 2]) {
      const [result] = await run(throws, { commands: [{ ...command(throws), retry: { maximumAttempts } }] });
      assert.equal(result?.outcome === 'fails' && result.failure.retryable, maximumAttempts > 1);
    }
  });

  it('is the last one after a dry run that was committed in an unexpected way', async () => {
    // Simulates it with a row that is committed without the guard.
    const commit = () =>
      fixture.pool.query(`
        begin; set local session_replication_role = replica; insert into inbox.dry_run values ('somebody'); commit`);
    const tried: string[] = [];
    const handler: Behavior = async ({ messageId: id }) => {
      tried.push(id);
      await commit();
    };
    const refused = /a dry run of message "somebody" was committed, which must never happen/;
    await assert.rejects(run(handler, { messageIds: [messageId, fixture.id('other')] }), refused);
    assert.deepEqual(tried, [messageId]);
    await assert.rejects(run(handler), refused);
    assert.deepEqual(tried, [messageId]);
    await fixture.pool.query('delete from inbox.dry_run');
  });
});

describe('the transaction of a dry run', () => {
  let fixture: TestInbox;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (what text)');
  });
  after(() => fixture.close());

  for (const [end, ways] of [
    ['COMMIT', ['commit', 'end', 'commit and chain', 'select 1; commit']],
    ['an early constraint check', ['set constraints all immediate']],
  ] as const) {
    for (const sql of ways) {
      it(`is refused by Postgres itself at ${end}: ${sql}`, async () => {
        const client = await fixture.pool.connect();
        try {
          await beginDryRun(client, 'm', 5_000);
          await client.query('savepoint one');
          await client.query(INSERT);
          await client.query('release one');
          await assert.rejects(client.query(sql), (error) => sqlState(error) === 'IB004');
          await endDryRun(client);
          assert.equal((await rows(fixture.pool, 'select from effects')).length, 0);
          assert.equal(await findCommittedDryRun(fixture.pool), null);
        } finally {
          client.release();
        }
      });
    }
  }
});
