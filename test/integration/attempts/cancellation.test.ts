import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CancelledFailure, WorkflowFailedError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { z } from 'zod';
import { unavailable } from '../../../activities/temporal-failures.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { FAILURE } from '../../../src/core/protocol.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { loadWorkflowBundle } from '../../../src/temporal/workflow-bundle.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const running = gate();
let wasAborted = false;

const report = defineCommand({
  type: 'MakeReport',
  schema: z.object({ hang: z.boolean() }),
  longRunning: true,
  timeout: '10 minutes',
  async handle({ payload, signal, generation }) {
    if (!payload.hang || generation > 0) return 'report';
    running.open();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    wasAborted = true;
    return 'too late';
  },
});

const failing = defineCommand({
  type: 'Failing',
  schema: z.object({}),
  retry: { initialInterval: '1 hour' },
  handle({ generation }) {
    if (generation === 0) throw new Error('not now');
    return 'after replay';
  },
});

const isCancelled = (error: unknown) =>
  error instanceof WorkflowFailedError && error.cause instanceof CancelledFailure;

describe('a workflow that is cancelled', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([report, failing]);
  });
  after(() => inbox.close());

  it('differs from a long-running workflow that completes', async () => {
    const handle = await inbox.start(inbox.id('report'), {
      commandType: 'MakeReport',
      payload: { hang: false },
    });
    assert.equal(await handle.result(), 'report');
    const { events } = await handle.fetchHistory();
    const names = events?.flatMap(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? [],
    );
    assert.deepEqual(names, ['longRunningAttempt']);
  });

  it('aborts the signal of a long-running handler, and leaves a dead letter that can be replayed', async () => {
    const messageId = inbox.id('long');
    const handle = await inbox.start(messageId, { commandType: 'MakeReport', payload: { hang: true } });
    await running.opened;
    await handle.cancel();
    await assert.rejects(handle.result(), isCancelled);
    assert.ok(wasAborted);
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'DeadLetter');
    assert.match(entry.error!, /^Cancelled: /);

    const replayed = await inbox.client.workflow.signalWithStart('handleCommand', {
      workflowId: messageId,
      taskQueue: inbox.taskQueue,
      signal: 'replay',
      signalArgs: [],
    });
    assert.equal(await replayed.result(), 'report');
  });

  it('leaves a dead letter if it was waiting for the next attempt', async () => {
    const messageId = inbox.id('waiting');
    const handle = await inbox.start(messageId, { commandType: 'Failing', payload: {} });
    await inbox.reaches(messageId, 'Failed');
    await eventually('the retry is pending', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.some(
        ({ activityType, attempt }) => activityType?.name === 'retry' && attempt === 2,
      );
    });
    await handle.cancel();
    await assert.rejects(handle.result(), isCancelled);
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.errorType, 'Cancelled');
    assert.equal(letter!.resolution, null);
  });

  it('shows the last failure and the same next attempt time as the row while it waits', async () => {
    const messageId = inbox.id('pending');
    const handle = await inbox.start(messageId, { commandType: 'Failing', payload: {} });
    const entry = await inbox.reaches(messageId, 'Failed');
    const pending = await eventually('the retry is pending', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.find(({ attempt }) => attempt === 2);
    });
    assert.equal(pending.lastFailure?.message, 'not now');
    const next = Number(pending.scheduledTime?.seconds) * 1_000;
    assert.ok(Math.abs(next - entry.nextRetryAt!.getTime()) < 30_000, 'within 30 s, for a delay of an hour');
  });
});

const postponed = () => unavailable(FAILURE.waitsForItsTurn, 'its turn has not come', 1_000);

describe('a workflow that is cancelled while its attempt gets no slot', () => {
  it('ends as cancelled, and its command becomes a dead letter', async () => {
    const inbox = await createTestInbox();
    const connection = await NativeConnection.connect(readTemporal().connectionOptions);
    const refused = gate();
    const cancelled = gate();
    const deadLettered: unknown[] = [];
    // Simulated, because a real attempt is put off within a millisecond, too short to be hit by a cancellation.
    const worker = await Worker.create({
      connection,
      taskQueue: inbox.taskQueue,
      workflowBundle: await loadWorkflowBundle(),
      activities: {
        firstAttempt: async () => {
          throw postponed();
        },
        retry: async () => {
          refused.open();
          await cancelled.opened;
          throw postponed();
        },
        deadLetterCancelled: async (origin: unknown) => void deadLettered.push(origin),
      },
    });
    const working = worker.run();
    try {
      const handle = await inbox.start(inbox.id('refused'), { commandType: 'Failing', payload: {} });
      await refused.opened;
      await handle.cancel();
      await eventually('Temporal has recorded the cancellation', async () => {
        const { events } = await handle.fetchHistory();
        return events?.some((event) => event.activityTaskCancelRequestedEventAttributes);
      });
      cancelled.open();
      await assert.rejects(handle.result(), isCancelled);
      assert.equal(deadLettered.length, 1);
    } finally {
      worker.shutdown();
      await working;
      await connection.close();
      await inbox.close();
    }
  });
});
