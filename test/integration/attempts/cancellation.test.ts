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
let heardOfIt = false;

const report = defineCommand({
  type: 'MakeReport',
  schema: z.object({ hang: z.boolean() }),
  longRunning: true,
  timeout: '10 minutes',
  async handle({ payload, signal, generation }) {
    if (!payload.hang || generation > 0) return 'report';
    running.open();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    heardOfIt = true;
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

  it('is not confused with one that is simply long-running', async () => {
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

  it('tells a long-running handler through its signal, and leaves a dead letter to decide on', async () => {
    const messageId = inbox.id('long');
    const handle = await inbox.start(messageId, { commandType: 'MakeReport', payload: { hang: true } });
    await running.opened;
    await handle.cancel();
    await assert.rejects(handle.result(), isCancelled);
    assert.ok(heardOfIt);
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'DeadLetter');
    assert.match(entry.error!, /^Cancelled: /);

    const again = await inbox.client.workflow.signalWithStart('handleCommand', {
      workflowId: messageId,
      taskQueue: inbox.taskQueue,
      signal: 'replay',
      signalArgs: [],
    });
    assert.equal(await again.result(), 'report');
  });

  it('while it waits for the next attempt becomes a dead letter too', async () => {
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

  it('shows the last failure and the time of the next attempt while it waits, the same as the row', async () => {
    const messageId = inbox.id('pending');
    const handle = await inbox.start(messageId, { commandType: 'Failing', payload: {} });
    const entry = await inbox.reaches(messageId, 'Failed');
    const pending = await eventually('the retry is pending', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.find(({ attempt }) => attempt === 2);
    });
    assert.equal(pending.lastFailure?.message, 'not now');
    const next = Number(pending.scheduledTime?.seconds) * 1_000;
    assert.ok(Math.abs(next - entry.nextRetryAt!.getTime()) < 30_000, 'within seconds, of an hour');
  });
});

const putOff = () => unavailable(FAILURE.waitsForItsTurn, 'its turn has not come', 1_000);

describe('a workflow that is cancelled while its attempt is refused a slot', () => {
  it('ends as cancelled, and the command is set aside', async () => {
    const inbox = await createTestInbox();
    const connection = await NativeConnection.connect(readTemporal().connectionOptions);
    const refused = gate();
    const cancelled = gate();
    const setAside: unknown[] = [];
    // Simulated: the real ones are refused within a millisecond, too short to be hit.
    const worker = await Worker.create({
      connection,
      taskQueue: inbox.taskQueue,
      workflowBundle: await loadWorkflowBundle(),
      activities: {
        firstAttempt: async () => {
          throw putOff();
        },
        retry: async () => {
          refused.open();
          await cancelled.opened;
          throw putOff();
        },
        deadLetterCancelled: async (origin: unknown) => void setAside.push(origin),
      },
    });
    const working = worker.run();
    try {
      const handle = await inbox.start(inbox.id('refused'), { commandType: 'Failing', payload: {} });
      await refused.opened;
      await handle.cancel();
      await eventually('Temporal has noted it', async () => {
        const { events } = await handle.fetchHistory();
        return events?.some((event) => event.activityTaskCancelRequestedEventAttributes);
      });
      cancelled.open();
      await assert.rejects(handle.result(), isCancelled);
      assert.equal(setAside.length, 1);
    } finally {
      worker.shutdown();
      await working;
      await connection.close();
      await inbox.close();
    }
  });
});
