/**
 * The next attempt runs at the time in the row, even if something asks for it earlier. A stale attempt waits only briefly.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { ActivityDependencies } from '../../../activities/dependencies.ts';
import { performAttempt } from '../../../src/attempts/run-attempt.ts';
import { beginAttempt, StaleAttemptError } from '../../../src/attempts/handler-transaction.ts';
import type { Duration } from '../../../src/core/duration.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { sqlState } from '../../../src/platform/postgres.ts';
import { RetryAfterError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createRegistry } from '../../../src/commands/registry.ts';
import { claimEntry, insertAndClaimEntry } from '../../../src/store/entries.ts';
import { recordTransientFailure } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const DAY_MS = 24 * 3_600_000;
const MINUTE_MS = 60_000;

const later = defineCommand({
  type: 'Later',
  schema: z.object({ delay: z.union([z.string(), z.number()]) }),
  retry: { maximumAttempts: 3, initialInterval: '10m', maximumInterval: '10m', backoffCoefficient: 1 },
  async handle({ payload }) {
    throw new RetryAfterError(payload.delay === 'NaN' ? Number.NaN : (payload.delay as Duration), 'not yet');
  },
});

describe('the next attempt', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([later]);
  });
  after(() => inbox.close());

  /** The activity that waits for the next attempt, once its delay is set. */
  const waiting = (messageId: string) =>
    eventually('Temporal waits for the next attempt', async () => {
      const { raw } = await inbox.client.workflow.getHandle(messageId).describe();
      const [activity] = raw.pendingActivities ?? [];
      if (!activity?.lastFailure || !activity.scheduledTime) return null;
      const type = activity.lastFailure.applicationFailureInfo?.type;
      const seconds = Number(activity.scheduledTime.seconds) - Date.now() / 1000;
      return seconds > 1 ? { type, days: seconds / 86_400, activityId: activity.activityId! } : null;
    });

  /** Inserts an entry whose first attempt failed and whose next attempt is due in an hour. */
  async function failed(messageId: string) {
    const entry = { messageId, commandType: 'Later', payload: { delay: 1 } };
    const whole = { ...entry, correlationId: null, causationId: null, metadata: {} };
    await insertAndClaimEntry(inbox.pool, whole);
    const failure = { messageId, attempt: 1, errorType: 'Seeded', error: 'Seeded: no', stack: null };
    const by = { retryable: true, worker: 'test', buildId: null };
    await recordTransientFailure(inbox.pool, { ...failure, ...by }, 3_600_000, false);
    return whole;
  }

  for (const [delay, days] of [
    ['25 days', 25],
    ['30 days', 30],
    ['400 days', 30],
    ['9000 years', 30],
    [Number.MAX_SAFE_INTEGER, 30],
  ] as const) {
    it(`comes after ${delay}, limited to 30 days, in both the row and Temporal`, async () => {
      const messageId = inbox.id(`after-${delay}`);
      await inbox.start(messageId, { commandType: 'Later', payload: { delay } });
      const entry = await inbox.reaches(messageId, 'Failed');
      assert.ok(Math.abs(entry.nextRetryAt!.getTime() - Date.now() - days * DAY_MS) < 60_000);
      const activity = await waiting(messageId);
      assert.equal(activity.type, 'RetryAfter');
      assert.ok(Math.abs(activity.days - days) < 0.01);
      assert.equal((await inbox.entry(messageId))?.attempt, 1);
    });
  }

  for (const delay of [-5, 'soon', 'NaN']) {
    it(`follows the retry policy if the delay is ${delay}, with the same jitter in the row and Temporal`, async () => {
      const messageId = inbox.id(`policy-${delay}`);
      await inbox.start(messageId, { commandType: 'Later', payload: { delay } });
      const entry = await inbox.reaches(messageId, 'Failed');
      const waitMs = entry.nextRetryAt!.getTime() - Date.now();
      // The row is read a little later than it was written.
      assert.ok(waitMs > 4 * MINUTE_MS && waitMs <= 10 * MINUTE_MS, `${waitMs} ms`);
      const activity = await waiting(messageId);
      const scheduledAt = Date.now() + activity.days * DAY_MS;
      assert.ok(Math.abs(scheduledAt - entry.nextRetryAt!.getTime()) < MINUTE_MS / 2);
    });
  }

  it('is not started early by a workflow that is started with the envelope', async () => {
    const messageId = inbox.id('envelope');
    const entry = await failed(messageId);
    assert.equal(await insertAndClaimEntry(inbox.pool, entry), null);
    await inbox.start(messageId, { commandType: 'Later', payload: { delay: 1 } });
    assert.equal((await waiting(messageId)).type, 'Seeded');
    const { status, attempt } = (await inbox.entry(messageId))!;
    assert.deepEqual([status, attempt], ['Failed', 1]);
  });

  it('is not started early by an activity that Temporal restarts', async () => {
    const messageId = inbox.id('reset');
    await failed(messageId);
    await inbox.start(messageId);
    const { activityId } = await waiting(messageId);
    const ended = await endOfLastTry(messageId);
    await inbox.client.workflowService.resetActivity({
      namespace: inbox.client.options.namespace,
      execution: { workflowId: messageId },
      id: activityId,
      keepPaused: false,
    });
    await eventually('the activity was retried', async () => (await endOfLastTry(messageId)) > ended);
    assert.equal((await waiting(messageId)).type, 'Seeded');
    const { status, attempt } = (await inbox.entry(messageId))!;
    assert.deepEqual([status, attempt], ['Failed', 1]);
  });

  const endOfLastTry = async (messageId: string) => {
    const { raw } = await inbox.client.workflow.getHandle(messageId).describe();
    const time = raw.pendingActivities?.[0]?.lastAttemptCompleteTime;
    return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
  };

  it('can be claimed only when it is due', async () => {
    const messageId = inbox.id('due');
    await failed(messageId);
    assert.equal(await claimEntry(inbox.pool, messageId, { onlyDue: true }), null);
    await inbox.pool.query(`update inbox.entries set next_retry_at = now() where message_id = $1`, [
      messageId,
    ]);
    assert.equal((await claimEntry(inbox.pool, messageId, { onlyDue: true }))?.attempt, 2);
  });
});

describe('a stale attempt', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  async function claimed(name: string): Promise<string> {
    const messageId = inbox.id(name);
    const entry = { messageId, commandType: 'T', payload: 1, correlationId: null, causationId: null };
    await insertAndClaimEntry(inbox.pool, { ...entry, metadata: {} });
    return messageId;
  }

  it('has its signal aborted, so that its handler does not wait forever', async () => {
    const messageId = await claimed('signal');
    const aborted = gate();
    const waits = defineCommand({
      type: 'T',
      schema: z.unknown(),
      async handle({ signal }) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        aborted.open();
      },
    });
    const { pool } = inbox;
    const dependencies = {
      registry: createRegistry([waits]),
      records: pool,
      maxPayloadBytes: 1_000,
      shutdown: new AbortController().signal,
      log: createLog('error', () => {}),
    } as unknown as ActivityDependencies;
    const entry = { ...(await inbox.entry(messageId))!, attempt: 7 };
    const performed = await performAttempt(dependencies, entry, await pool.connect(), null);
    assert.ok(performed.kind === 'failed' && performed.error instanceof StaleAttemptError);
    await aborted.opened;
  });

  it('waits for the row no longer than its own timeout', async () => {
    const messageId = await claimed('waits');
    const [holder, stale] = [await inbox.pool.connect(), await inbox.pool.connect()];
    try {
      await holder.query('begin');
      await holder.query('select from inbox.entries where message_id = $1 for update', [messageId]);
      await assert.rejects(beginAttempt(stale, messageId, 1, 200), (error) => sqlState(error) === '55P03');
    } finally {
      await stale.query('rollback');
      await holder.query('rollback');
      stale.release();
      holder.release();
    }
  });

  for (const attempt of [1, 7]) {
    it(`runs no statement for longer than its timeout, just like the current attempt: attempt ${attempt}`, async () => {
      const messageId = await claimed(`runs-${attempt}`);
      const client = await inbox.pool.connect();
      try {
        const beginning = beginAttempt(client, messageId, attempt, 200);
        if (attempt === 1) await beginning;
        else await assert.rejects(beginning, StaleAttemptError);
        await assert.rejects(client.query('select pg_sleep(60)'), (error) => sqlState(error) === '57014');
      } finally {
        await client.query('rollback');
        client.release();
      }
      const [settings] = await rows<{ statement: string }>(
        inbox.pool,
        `select current_setting('statement_timeout') as statement`,
      );
      assert.equal(settings?.statement, '0');
    });
  }
});
