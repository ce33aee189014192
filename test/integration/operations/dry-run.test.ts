/**
 * Dry runs show what a replay would do, without doing it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { CommandDefinition, HandlerContext } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import type { Json } from '../../../src/core/json.ts';
import { dryRun } from '../../../src/operations/index.ts';
import type { DryRunOptions, DryRunResult } from '../../../src/operations/index.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const schema = z.object({ does: z.string() });
type Behavior = (context: HandlerContext<z.output<typeof schema>>) => Promise<unknown>;

const leaked: { tx?: HandlerContext<unknown>['tx'] } = {};
let externalRuns = 0;

/** What the handlers do: valid and invalid behaviors. */
const behaviors: Record<string, Behavior> = {
  async completes({ tx, messageId, emit, send, attempt, generation }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    emit({ aggregateType: 'thing', aggregateId: '7', type: 'ThingDone', payload: { n: 1 } });
    await send({ messageId: `${messageId}-next`, type: 'Next', payload: { of: messageId } });
    return { attempt, generation };
  },
  async throws() {
    throw new Error('still broken 1234');
  },
  async givesUp() {
    throw new UnrecoverableError('NoSuchThing');
  },
  async commits({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('commit');
    return 'fine';
  },
  async swallowsCommit({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('commit').catch(() => {});
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
  },
  async rollsBackAndWrites({ tx, messageId }) {
    await tx.query('rollback');
    await tx.query('insert into effects (message_id) values ($1)', [messageId]).catch(() => {});
    return 'fine';
  },
  async beginsAnother({ tx, messageId }) {
    await tx.query('rollback');
    await tx.query('begin');
    await tx.query('insert into effects (message_id) values ($1)', [messageId]).catch(() => {});
    await tx.query('commit');
  },
  async commitsInSeveralStatements({ tx, messageId }) {
    await tx.query(`insert into effects (message_id) values ('${messageId}'); commit; select 1`);
  },
  async usesSavepoints({ tx, messageId }) {
    await tx.query('savepoint one');
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('rollback to one');
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('release one');
    return (await tx.query('select from effects where message_id = $1', [messageId])).rowCount;
  },
  async violatesAtCommit({ tx }) {
    await tx.query('insert into children (parent) values (13)');
  },
  async swallowsError({ tx }) {
    await tx.query('select 1 / 0').catch(() => {});
    return 'fine';
  },
  async hangs({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await new Promise(() => {});
  },
  async hangsInSql({ tx }) {
    await tx.query('select pg_sleep(60)');
  },
  async waitsForLock({ tx }) {
    await tx.query('lock table effects in access exclusive mode');
  },
  async leaks({ tx, messageId }) {
    leaked.tx = tx;
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
  },
};

const broken = defineCommand({
  type: 'Broken',
  schema,
  async handle() {
    throw new UnrecoverableError('Bug');
  },
});
const fixed = defineCommand({
  type: 'Broken',
  schema,
  timeout: '3s',
  async handle(context) {
    const behavior = behaviors[context.payload.does];
    return behavior ? behavior(context) : null;
  },
});
const external = defineCommand({
  type: 'Broken',
  schema,
  effects: 'external',
  async handle() {
    externalRuns += 1;
  },
});

describe('a dry run', () => {
  let fixture: TestInbox;
  let stopWorker: () => Promise<void>;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query(`
      create table effects (message_id text);
      create table parents (id integer primary key);
      create table children (parent integer references parents deferrable initially deferred)`);
    const worker = await fixture.startWorker([broken]);
    stopWorker = () => worker.stop();
    for (const name of Object.keys(behaviors)) {
      await fixture.start(fixture.id(name), { commandType: 'Broken', payload: { does: name } });
    }
    await fixture.start(fixture.id('wrong'), { commandType: 'Broken', payload: { does: 1 } });
    for (const name of [...Object.keys(behaviors), 'wrong']) {
      await fixture.reaches(fixture.id(name), 'DeadLetter');
    }
  });
  after(async () => {
    await stopWorker();
    await fixture.close();
  });

  const run = (options: Partial<DryRunOptions>) =>
    dryRun({
      databaseUrl: fixture.database.url,
      commands: [fixed],
      log: { debug() {}, info() {}, warn() {}, error() {} },
      ...options,
    });
  const one = async (name: string, options: Partial<DryRunOptions> = {}): Promise<DryRunResult> =>
    (await run({ messageIds: [fixture.id(name)], ...options }))[0]!;
  const failure = async (name: string) => {
    const result = await one(name);
    assert.equal(result.outcome, 'fails', name);
    return result.outcome === 'fails' ? result.failure : assert.fail();
  };
  /** Asserts that neither a handler nor the inbox has written anything. */
  async function assertNothingChanged(): Promise<void> {
    for (const table of ['effects', 'children', 'inbox.dry_run', 'inbox.audit']) {
      assert.equal((await rows(fixture.pool, `select from ${table}`)).length, 0, table);
    }
    const sql = `select from inbox.entries where status <> 'DeadLetter' or attempt <> 1 or generation <> 0`;
    assert.equal((await rows(fixture.pool, sql)).length, 0);
    const events = `select from inbox.outbox where type <> 'CommandDeadLettered'`;
    assert.equal((await rows(fixture.pool, events)).length, 0);
  }

  it('reports the events, sends and result of a message that would complete', async () => {
    const result = await one('completes');
    assert.deepEqual(result, {
      messageId: fixture.id('completes'),
      commandType: 'Broken',
      outcome: 'completes',
      result: { attempt: 1, generation: 1 },
      events: [
        { aggregatetype: 'thing', aggregateid: '7', type: 'ThingDone', payload: { n: 1 }, metadata: {} },
      ],
      sends: [
        {
          messageId: `${fixture.id('completes')}-next`,
          type: 'Next',
          payload: { of: fixture.id('completes') },
          correlationId: fixture.id('completes'),
          causationId: fixture.id('completes'),
        },
      ],
    } satisfies DryRunResult);
    await assertNothingChanged();
  });

  it('reports the failure, whether it is retryable, and its failure group', async () => {
    const thrown = await failure('throws');
    assert.deepEqual([thrown.type, thrown.message, thrown.retryable], ['Error', 'still broken 1234', true]);
    assert.match(thrown.failureGroup, /^Broken\/Error\/[0-9a-f]{8}$/);
    assert.deepEqual((await failure('givesUp')).retryable, false);
    assert.equal((await failure('wrong')).type, 'InvalidPayload');
    await assertNothingChanged();
  });

  for (const name of [
    'commits',
    'swallowsCommit',
    'rollsBackAndWrites',
    'beginsAnother',
    'commitsInSeveralStatements',
  ]) {
    it(`cannot be committed by a handler that ${name}`, async () => {
      assert.equal((await failure(name)).type, 'TransactionEnded');
      await assertNothingChanged();
    });
  }

  it('allows handlers to use savepoints', async () => {
    const result = await one('usesSavepoints');
    assert.equal(result.outcome === 'completes' && result.result, 1);
    await assertNothingChanged();
  });

  it('finds failures that only COMMIT would find', async () => {
    assert.equal((await failure('violatesAtCommit')).type, 'SQLSTATE 23503');
    assert.equal((await failure('swallowsError')).type, 'TransactionAborted');
    await assertNothingChanged();
  });

  it('ends handlers that hang, and continues with the next message', async () => {
    const results = await run({
      messageIds: ['hangs', 'hangsInSql', 'completes'].map((name) => fixture.id(name)),
    });
    const outcomes = results.map((result) =>
      result.outcome === 'fails' ? result.failure.type : result.outcome,
    );
    assert.equal(outcomes[0], 'Timeout');
    // Either the attempt's timeout or Postgres's statement timeout comes first.
    assert.ok(['Timeout', 'SQLSTATE 57014'].includes(outcomes[1]!), outcomes[1]);
    assert.equal(outcomes[2], 'completes');
    await eventually('no transaction is left', async () => {
      const sql = `select from pg_stat_activity where datname = current_database() and application_name = 'inbox dry-run'`;
      return (await rows(fixture.pool, sql)).length === 0;
    });
    await assertNothingChanged();
  });

  it('fails with a lock timeout when a live command holds a lock', async () => {
    const holder = await fixture.pool.connect();
    await holder.query('begin');
    await holder.query('lock table effects in access share mode');
    const { type, retryable } = await failure('waitsForLock');
    assert.deepEqual([type, retryable], ['SQLSTATE 55P03', true]);
    await holder.query('rollback');
    holder.release();
  });

  it('closes tx for a handler that keeps it', async () => {
    assert.equal((await one('leaks')).outcome, 'completes');
    await assert.rejects(Promise.resolve(leaked.tx!.query('select 1')), /after its handler returned/);
    await assertNothingChanged();
  });

  it('tries an edited payload', async () => {
    const result = await one('wrong', { payload: { does: 'completes' } });
    assert.equal(result.outcome, 'completes');
    await assertNothingChanged();
  });

  it('refuses handlers with external effects without running them', async () => {
    const result = await one('completes', { commands: [external] });
    assert.equal(result.outcome, 'refused');
    assert.match(result.outcome === 'refused' ? result.problem : '', /effects: 'external'/);
    assert.equal(externalRuns, 0);
  });

  it('says why a message cannot be tried', async () => {
    const other = defineCommand({ ...fixed, type: 'Other' });
    const problem = async (id: string, commands: readonly CommandDefinition[] = [fixed]) => {
      const [result] = await run({ messageIds: [id], commands });
      return result!.outcome === 'refused' ? result!.problem : assert.fail();
    };
    assert.match(await problem('nobody'), /no entry has the message_id "nobody"/);
    assert.match(await problem(fixture.id('completes'), [other]), /no command Broken; it has Other/);
    await assert.rejects(run({ messageIds: ['\u0000'] }), /control character/);
  });

  it('tries the dead letters that match a filter, oldest first, up to the limit', async () => {
    const group = (
      await rows<{ failure_group: string }>(
        fixture.pool,
        'select failure_group from inbox.dead_letters where error_type = $1 limit 1',
        ['Bug'],
      )
    )[0]!.failure_group;
    const results = await run({ filter: { failureGroup: group }, limit: 2 });
    assert.deepEqual(
      results.map(({ messageId }) => messageId),
      (
        await rows<{ id: Json }>(
          fixture.pool,
          'select message_id as id from inbox.dead_letters where failure_group = $1 order by dead_at, id limit 2',
          [group],
        )
      ).map(({ id }) => id),
    );
  });
});
