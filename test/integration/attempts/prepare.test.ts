import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import type { PoolClient } from 'pg';
import { z } from 'zod';
import { performAttempt } from '../../../src/attempts/run-attempt.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { PrepareContext } from '../../../src/commands/define-command.ts';
import { createRegistry } from '../../../src/commands/registry.ts';
import { RetryAfterError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { dryRun } from '../../../src/operations/dry-run.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { findEntry } from '../../../src/store/entries.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

/** The messages whose `prepare` waits until a shutdown aborts its signal. */
const waiting = new Set<string>();
const signals = new Map<string, AbortSignal>();
/** How often `prepare` and the handler ran, by message id. */
const prepared = new Map<string, number>();
const handled = new Map<string, number>();
const count = (counts: Map<string, number>, id: string) => counts.set(id, (counts.get(id) ?? 0) + 1);

let fixture: TestInbox;
let releaseShutdownTest = false;

const behaviors: Record<string, (context: PrepareContext<unknown>) => unknown> = {
  async returns({ messageId, attempt }) {
    // No connection of the worker is in a transaction for this command.
    const { rows } = await fixture.pool.query<{ locked: boolean }>(
      `select exists (select from pg_locks l join pg_stat_activity a using (pid)
         where a.datname = current_database() and l.relation = 'inbox.entries'::regclass
           and l.mode = 'RowShareLock' and a.state = 'idle in transaction') as locked`,
    );
    return { locked: rows[0]!.locked, messageId, attempt };
  },
  nothing: () => undefined,
  throwsOnce({ attempt }) {
    if (attempt === 1) throw new Error('the other service is down');
    return { attempt };
  },
  asksForLater({ attempt }) {
    if (attempt === 1) throw new RetryAfterError(1);
    return { attempt };
  },
  gives() {
    throw new UnrecoverableError('Fraud', { score: 99 });
  },
  async hangs({ messageId, signal }) {
    if (!signals.has(messageId)) signals.set(messageId, signal);
    await new Promise(() => {});
  },
  async waits({ messageId, signal }) {
    if (releaseShutdownTest) return 'after the shutdown';
    waiting.add(messageId);
    await once(signal, 'abort');
    signal.throwIfAborted();
  },
};

const define = <Type extends string>(type: Type, mode: object) =>
  defineCommand({
    type,
    schema: z.object({ behavior: z.string() }),
    retry: { maximumAttempts: 3, initialInterval: 1, maximumInterval: 1 },
    timeout: '3s',
    ...mode,
    async prepare(context) {
      count(prepared, context.messageId);
      assert.equal('tx' in context, false);
      return (await behaviors[context.payload.behavior]!(context)) as { [key: string]: unknown } | undefined;
    },
    async handle({ messageId, prepared: value, tx }) {
      count(handled, messageId);
      await tx.query('insert into effects (message_id) values ($1)', [messageId]);
      return { prepared: JSON.parse(JSON.stringify(value ?? null)) as unknown };
    },
  });

const modes = {
  workflow: define('Check', {}),
  express: define('CheckExpress', { express: true }),
  recorded: define('CheckRecorded', { express: 'recorded' }),
  longRunning: define('CheckLong', { longRunning: true }),
};

const startWorker = () => fixture.startWorker(Object.values(modes), { shutdownGraceMs: 200 });
const effects = async (messageId: string) =>
  (await fixture.pool.query('select from effects where message_id = $1', [messageId])).rowCount;

describe('prepare', () => {
  let inbox: Inbox;
  let worker: Awaited<ReturnType<TestInbox['startWorker']>>;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (message_id text)');
    inbox = await createInbox({ pool: fixture.pool });
    worker = await startWorker();
  });
  after(async () => {
    await inbox?.close();
    await fixture.close();
  });

  for (const [mode, command] of Object.entries(modes)) {
    const idOf = (behavior: string) => fixture.id(`${mode}-${behavior}`);
    async function send(behavior: string): Promise<string> {
      const messageId = idOf(behavior);
      await inbox.send(command, { messageId, payload: { behavior } });
      return messageId;
    }
    const failureTypes = async (messageId: string) =>
      (await listFailures(fixture.pool, messageId)).map(({ errorType }) => errorType);

    it(`gives its value to the handler, and runs without a transaction (${mode})`, async () => {
      const messageId = await send('returns');
      const { result } = await fixture.reaches(messageId, 'Completed');
      assert.deepEqual(result, { prepared: { locked: false, messageId, attempt: 1 } });
      assert.equal(await effects(messageId), 1);
    });

    it(`may return nothing (${mode})`, async () => {
      const { result } = await fixture.reaches(await send('nothing'), 'Completed');
      assert.deepEqual(result, { prepared: null });
    });

    for (const [behavior, errorType] of [
      ['throwsOnce', 'Error'],
      ['asksForLater', 'RetryAfter'],
    ] as const) {
      it(`fails the attempt when it throws, and runs again for the next one (${mode}, ${behavior})`, async () => {
        const messageId = await send(behavior);
        const { result, attempt } = await fixture.reaches(messageId, 'Completed');
        assert.deepEqual(result, { prepared: { attempt: 2 } });
        assert.equal(attempt, 2);
        assert.deepEqual(await failureTypes(messageId), [errorType]);
        assert.equal(prepared.get(messageId), 2);
        assert.equal(handled.get(messageId), 1);
      });
    }

    it(`makes a dead letter when it throws an UnrecoverableError (${mode})`, async () => {
      const messageId = await send('gives');
      const { error } = await fixture.reaches(messageId, 'DeadLetter');
      assert.equal(error, 'Fraud: score=99');
      assert.equal(handled.get(messageId), undefined);
      assert.equal(await effects(messageId), 0);
    });

    it(`does not run for a payload that fails the schema (${mode})`, async () => {
      const messageId = idOf('invalid');
      await inbox.send({ messageId, type: command.type, payload: { behavior: 7 } });
      await fixture.reaches(messageId, 'DeadLetter');
      assert.deepEqual(await failureTypes(messageId), ['InvalidPayload']);
      assert.equal(prepared.get(messageId), undefined);
    });
  }

  for (const mode of ['workflow', 'express'] as const) {
    it(`ends at the timeout of the attempt (${mode})`, async () => {
      const messageId = fixture.id(`${mode}-hangs`);
      await inbox.send(modes[mode], { messageId, payload: { behavior: 'hangs' } });
      const [failure] = await eventually('the first attempt has failed', async () => {
        const failures = await listFailures(fixture.pool, messageId);
        return failures.length > 0 ? failures : null;
      });
      assert.equal(failure!.errorType, 'Timeout');
      assert.equal(signals.get(messageId)!.aborted, true);
    });

    it(`does not count as a failed attempt when the worker shuts down meanwhile (${mode})`, async () => {
      releaseShutdownTest = false;
      const messageId = fixture.id(`${mode}-waits`);
      await inbox.send(modes[mode], { messageId, payload: { behavior: 'waits' } });
      await eventually('prepare waits', async () => waiting.has(messageId) || null);
      await worker.stop();
      releaseShutdownTest = true;
      worker = await startWorker();
      const { result, retryCount } = await fixture.reaches(messageId, 'Completed');
      assert.deepEqual(result, { prepared: 'after the shutdown' });
      assert.equal(retryCount, 0);
      assert.deepEqual(await listFailures(fixture.pool, messageId), []);
    });
  }

  it('runs in a dry run, and its failures are those of the dry run', async () => {
    const messageId = fixture.id('workflow-gives');
    const command = modes.workflow;
    const options = { databaseUrl: fixture.database.url, messageIds: [messageId] };
    const [refused] = await dryRun({ ...options, commands: [command] });
    assert.equal(refused!.outcome, 'fails');
    const fixed = { ...command, prepare: () => ({ fixed: true }) };
    const [tried] = await dryRun({ ...options, commands: [fixed] });
    assert.ok(tried!.outcome === 'completes');
    assert.deepEqual(tried!.result, { prepared: { fixed: true } });
    assert.equal(await effects(messageId), 0);
  });
});

describe('an attempt whose prepare is done', () => {
  it('waits for a connection as long as it takes, and then has the rest of its time', async () => {
    const database = await createTestDatabase();
    const attempts = createPool({
      connectionString: database.url,
      max: 1,
      applicationName: 'inbox attempts',
    });
    let held: PoolClient | undefined;
    const command = defineCommand({
      type: 'Late',
      schema: z.object({}),
      timeout: '2s',
      async prepare() {
        // Takes the only connection, which the attempt has given back, for longer than its timeout.
        held = await attempts.connect();
        setTimeout(() => held!.release(), 2_500);
      },
      handle: ({ signal }) => ({ aborted: signal.aborted }),
    });
    const inbox = await createInbox({ pool: database.pool });
    await inbox.send(command, { messageId: 'late', payload: {} });
    await database.pool.query(
      `update inbox.entries set status = 'Processing', attempt = 1, claimed_at = now()`,
    );
    const entry = await findEntry(database.pool, 'late');
    const outcome = await performAttempt(
      {
        registry: createRegistry([command]),
        attempts,
        records: database.pool,
        maxPayloadBytes: 1_000_000,
        worker: 'this test',
        buildId: null,
        shutdown: new AbortController().signal,
        log: createLog('error', () => {}),
        taskQueue: 'inbox',
        trace: { queries: false, queryText: false, errorMessages: false },
      },
      entry!,
      await attempts.connect(),
      null,
    );
    assert.deepEqual(outcome, { kind: 'completed', result: { aborted: false } });
    await inbox.close();
    await attempts.end();
    await database.drop();
  });
});
