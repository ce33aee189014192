/**
 * Dry runs of handlers that do their worst: nothing of it stays, nothing of it is held, and what they did is told.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { HandlerContext } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { sqlState } from '../../../src/platform/postgres.ts';
import { dryRun } from '../../../src/operations/index.ts';
import type { DryRunOptions, DryRunResult } from '../../../src/operations/index.ts';
import { beginDryRun, endDryRun, findCommittedDryRun } from '../../../src/store/dry-run.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

type Behaviour = (context: HandlerContext<unknown>) => Promise<unknown>;

const INSERT = `insert into effects values ('written')`;
const ADVISORY_LOCK = 77_001;

/** Each of them would leave a row in `effects` if only one COMMIT got through. */
const committing: Record<string, Behaviour> = {
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
  async 'begins one that may write'({ tx }) {
    await tx.query('rollback');
    await tx.query('begin read write');
    await tx.query(INSERT);
    await tx.query('commit');
  },
  async 'begins one that may write, all in one text'({ tx }) {
    await tx.query(`rollback; begin read write; ${INSERT}; commit`);
  },
  async 'lets its session write'({ tx }) {
    await tx.query('abort');
    await tx.query('set default_transaction_read_only = off');
    await tx.query(INSERT);
  },
  async 'hides the word behind a comment and a string'({ tx }) {
    await tx.query(`/* ; /* ' */ */ select 'it''s; --', E'\\'; x', $a$ ; $a$ -- ' ; begin
      ; RoLLback /* now */ work; begin read write; ${INSERT}; commit`);
  },
  async 'asks with a configuration'({ tx }) {
    await tx.query({ text: 'rollback and chain' });
    await tx.query(INSERT);
    await tx.query({ text: 'end' });
  },
  async 'waits for none of its statements'({ tx }) {
    for (const text of ['rollback', 'begin read write', INSERT, 'commit']) void tx.query(text);
  },
  async 'swallows an error and ends what has failed'({ tx }) {
    await tx.query('select 1 / 0').catch(() => {});
    void tx.query('commit').catch(() => {});
  },
  async 'tells the guard that it is checked'({ tx }) {
    await tx.query(`select set_config('inbox.dry_run_is_checked', 'yes', true)`);
    await tx.query(INSERT);
    await tx.query('commit');
  },
};

const slow: Behaviour = async ({ tx }) => {
  await tx.query(INSERT);
  await tx.query('select pg_sleep(3)');
  await tx.query('select pg_sleep(60)');
};
const throws: Behaviour = async () => {
  throw new Error('not now');
};

const command = (handle: Behaviour, timeout = '5s') =>
  defineCommand({ type: 'Seeded', schema: z.unknown(), timeout, handle });
const typeOf = (result: DryRunResult | undefined) =>
  result?.outcome === 'fails' ? result.failure.type : result?.outcome;

describe('a dry run of a handler that', () => {
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

  const run = (handle: Behaviour, options: Partial<DryRunOptions> & { timeout?: string } = {}) =>
    dryRun({
      databaseUrl: fixture.database.url,
      commands: [command(handle, options.timeout)],
      messageIds: [messageId],
      log: { debug() {}, info() {}, warn() {}, error() {} },
      ...options,
    });

  async function nothingStayed(): Promise<void> {
    for (const table of ['effects', 'inbox.dry_run']) {
      assert.deepEqual(await rows(fixture.pool, `select * from ${table}`), [], table);
    }
  }

  beforeEach(() => fixture.pool.query('truncate effects'));

  for (const [name, behaviour] of Object.entries(committing)) {
    it(`${name} is told to have ended its transaction, and nothing stays`, async () => {
      const [result] = await run(behaviour);
      await nothingStayed();
      assert.equal(typeOf(result), 'TransactionEnded');
    });
  }

  it('talks to the connection itself is not let', async () => {
    let submitted = false;
    const submittable = { submit: () => (submitted = true), handleError() {} };
    const [result] = await run(({ tx }) => tx.query(submittable as never));
    assert.equal(typeOf(result), 'TransactionEnded');
    assert.equal(submitted, false);
  });

  it('does not wait for a statement that fails is told of that statement', async () => {
    const [result] = await run(async ({ tx }) => void tx.query('select * from no_such_table'));
    assert.equal(typeOf(result), 'TransactionAborted');
    assert.match(result?.outcome === 'fails' ? result.failure.message : '', /no_such_table/);
    await nothingStayed();
  });

  it('takes a lock of the session holds it no longer than its own run', async () => {
    const held = `select from pg_locks where locktype = 'advisory' and objid = ${ADVISORY_LOCK}`;
    const counts: number[] = [];
    const handler: Behaviour = async ({ tx }) => {
      counts.push((await rows(fixture.pool, held)).length);
      await tx.query('select pg_advisory_lock($1)', [ADVISORY_LOCK]);
      counts.push((await rows(fixture.pool, held)).length);
    };
    await run(handler, { messageIds: [messageId, fixture.id('other')] });
    assert.deepEqual(counts, [0, 1, 0, 1]);
  });

  it('is in a long statement when its time is up holds nothing after that', async () => {
    const [result] = await run(slow, { timeout: '4s' });
    assert.equal(typeOf(result), 'Timeout');
    // Postgres's own limit would end that statement 3 seconds later.
    const sql = `select from pg_stat_activity where datname = current_database() and application_name = 'inbox dry-run'`;
    await eventually('its session is over', async () => (await rows(fixture.pool, sql)).length === 0, 2_000);
    await nothingStayed();
  });

  it('notifies somebody notifies nobody', async () => {
    const listener = await fixture.pool.connect();
    try {
      const heard: (string | undefined)[] = [];
      listener.on('notification', ({ payload }) => heard.push(payload));
      await listener.query('listen mischief');
      const [result] = await run(({ tx }) =>
        tx.query(`select pg_notify('mischief', 'dry')`).then(() => null),
      );
      assert.equal(typeOf(result), 'completes');
      // In the order of commits: once this one is here, no earlier one is still on its way.
      await fixture.pool.query(`select pg_notify('mischief', 'real')`);
      await eventually('the real one is heard', () => heard.includes('real'));
      assert.deepEqual(heard, ['real']);
    } finally {
      listener.removeAllListeners('notification');
      await listener.query('unlisten mischief');
      listener.release();
    }
  });

  it('is given null gets null, as a replay would give it', async () => {
    const [result] = await run(async ({ payload }) => ({ payload: payload as null }), { payload: null });
    assert.deepEqual(result?.outcome === 'completes' && result.result, { payload: null });
  });

  it('is given a payload for several messages is not run', async () => {
    const messageIds = [messageId, fixture.id('other')];
    let runs = 0;
    const handler: Behaviour = async () => (runs += 1);
    await assert.rejects(run(handler, { messageIds, payload: {} }), /payload goes with one message id/);
    await assert.rejects(
      run(handler, { messageIds: [messageId], payload: 'x'.repeat(50), maxPayloadBytes: 40 }),
    );
    assert.equal(runs, 0);
  });

  it('throws what is worth another attempt is told whether it has one', async () => {
    for (const maximumAttempts of [1, 2]) {
      const [result] = await run(throws, { commands: [{ ...command(throws), retry: { maximumAttempts } }] });
      assert.equal(result?.outcome === 'fails' && result.failure.retryable, maximumAttempts > 1);
    }
  });

  it('commits after all, by a way that nobody thought of, is the last that is tried', async () => {
    // What stands for it: a row that was committed without the guard.
    const commit = () =>
      fixture.pool.query(`
        begin; set local session_replication_role = replica; insert into inbox.dry_run values ('somebody'); commit`);
    const tried: string[] = [];
    const handler: Behaviour = async ({ messageId: id }) => {
      tried.push(id);
      await commit();
    };
    const refused = /a dry run of message "somebody" was committed, which must not be/;
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
    ['its end', ['commit', 'end', 'commit and chain', 'select 1; commit']],
    ['a constraint that is asked early', ['set constraints all immediate']],
  ] as const) {
    for (const sql of ways) {
      it(`is refused by Postgres alone at ${end}: ${sql}`, async () => {
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
