/**
 * Another workflow in the namespace uses a message_id as its workflow ID.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError, WorkflowIdTakenError } from '../../../src/core/errors.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { discard, discardAll, pauseCampaign, replay, restore } from '../../../src/operations/index.ts';
import { campaignWorkflowId, WORKFLOW_TYPE } from '../../../src/core/protocol.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { resolveLetter, seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

const schema = z.object({ fail: z.boolean().optional() });
const note = defineCommand({ type: 'Note', schema, handle: () => 'done' });
const recorded = defineCommand({ type: 'Recorded', schema, express: 'recorded', handle: () => 'done' });
const express = defineCommand({
  type: 'ExpressFlaky',
  schema,
  express: true,
  retry: { initialInterval: '1s' },
  handle({ attempt }) {
    if (attempt === 1) throw new Error('not yet');
    return 'done';
  },
});
const dead = defineCommand({
  type: 'ExpressDead',
  schema,
  express: true,
  handle() {
    throw new UnrecoverableError('Broken');
  },
});

async function signalsOf(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ workflowExecutionSignaledEventAttributes: signaled }) =>
    signaled ? [signaled.signalName ?? ''] : [],
  );
}

const taken = (error: unknown) => {
  assert.ok(error instanceof WorkflowIdTakenError, String(error));
  assert.match(error.message, /type OrderSaga, task queue sagas-.*terminate that workflow or let it finish/);
  return true;
};

describe('a workflow ID that another workflow uses', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([note, recorded, express, dead]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  /** Starts a foreign workflow on a task queue that nobody polls. */
  async function startForeign(name: string, type = 'OrderSaga'): Promise<WorkflowHandle> {
    return fixture.client.workflow.start(type, {
      workflowId: fixture.id(name),
      taskQueue: `sagas-${fixture.taskQueue}`,
    });
  }

  const takenLines = () =>
    fixture.logs().filter((line) => line.includes('another workflow uses the workflow ID'));

  for (const type of ['OrderSaga', WORKFLOW_TYPE]) {
    it(`makes a message wait until that workflow of type ${type} has closed`, async () => {
      const id = fixture.id(`order-${type}`);
      const theirs = await startForeign(`order-${type}`, type);
      await inbox.send({ messageId: id, type: 'Note', payload: {} });
      await eventually('the worker reports the other workflow', () =>
        takenLines().some((line) => line.includes(id)),
      );
      assert.equal((await fixture.entry(id))!.status, 'Pending');
      await inbox.send({ messageId: fixture.id(`after-${type}`), type: 'Note', payload: {} });
      await fixture.reaches(fixture.id(`after-${type}`), 'Completed');
      await theirs.terminate('done');
      await fixture.reaches(id, 'Completed');
      assert.equal(takenLines().filter((line) => line.includes(id)).length, 1);
      assert.match(
        takenLines().find((line) => line.includes(id))!,
        new RegExp(`workflowType=${type} .*taskQueue=sagas-`),
      );
    });
  }

  it('has no effect once the other workflow has closed', async () => {
    const theirs = await startForeign('ended');
    await theirs.terminate('done');
    await inbox.send({ messageId: fixture.id('ended'), type: 'Note', payload: {} });
    await fixture.reaches(fixture.id('ended'), 'Completed');
  });

  it('delays the retries of an express command, and is reported by show and doctor', async () => {
    const id = fixture.id('flaky');
    const theirs = await startForeign('flaky');
    await inbox.send({ messageId: id, type: 'ExpressFlaky', payload: {} });
    await fixture.reaches(id, 'Failed');
    const cli = createCli(fixture);
    const { stdout } = await cli.run(['show', id]);
    assert.match(stdout, /another workflow uses the workflow ID .*type OrderSaga, task queue sagas-/s);
    assert.match(stdout, /terminate that workflow or let it finish/);
    const env = { ...process.env, DATABASE_URL: fixture.database.url, INBOX_TASK_QUEUE: fixture.taskQueue };
    const finding = await eventually('the doctor reports it', async () =>
      (await checkHealth({ env })).find(({ name, ok }) => name === 'workflows' && !ok),
    );
    assert.match(finding.finding, /1 of \d+ late messages have a workflow ID that another workflow uses/);
    assert.match(finding.finding, /type OrderSaga/);
    assert.match(finding.remedy!, /terminate that workflow or let it finish/);
    await theirs.terminate('done');
    await fixture.reaches(id, 'Completed');
  });

  it('prevents replay, discard and restore from signaling that workflow', async () => {
    const id = fixture.id('dead');
    const theirs = await startForeign('dead');
    await inbox.send({ messageId: id, type: 'ExpressDead', payload: {} });
    await fixture.reaches(id, 'DeadLetter');
    await assert.rejects(discard(fixture, id, {}), taken);
    await assert.rejects(replay(fixture, id, {}), taken);
    const all = await discardAll(fixture, { commandType: 'ExpressDead' });
    assert.deepEqual([all.taken, all.takenExample, all.discarded], [1, id, 0]);
    assert.deepEqual(await signalsOf(theirs), []);
    assert.equal((await listDeadLetters(fixture.pool, id))[0]!.resolution, null);

    await seedOpen(fixture.pool, fixture.id('discarded'), 'DeadLetter', { days: 1 });
    await resolveLetter(fixture.pool, fixture.id('discarded'), 'discarded', 0);
    const other = await startForeign('discarded');
    await assert.rejects(restore({ ...fixture, searchAttributes: false }, fixture.id('discarded')), taken);
    const [letter] = await listDeadLetters(fixture.pool, fixture.id('discarded'));
    assert.equal(letter!.resolution, 'discarded', 'nothing was changed');
    await other.terminate('done');

    await theirs.terminate('done');
    assert.equal(await discard(fixture, id, { actor: 'ann' }), 'done');
  });

  it('delays the record of a recorded command until the other workflow has closed', async () => {
    const running = fixture.id('recorded-running');
    const closed = fixture.id('recorded-closed');
    const theirs = await startForeign('recorded-running');
    await (await startForeign('recorded-closed')).terminate('done');
    for (const messageId of [running, closed]) await inbox.send({ messageId, type: 'Recorded', payload: {} });
    const hasRecord = async (messageId: string) => {
      const { type, status } = await fixture.client.workflow.getHandle(messageId).describe();
      return type === 'Recorded' && status.name === 'COMPLETED';
    };
    await eventually('the record exists next to a closed workflow', () => hasRecord(closed));
    await eventually('the worker reports the other workflow', () =>
      takenLines().some((line) => line.includes(running)),
    );
    const [waiting] = await rows<{ needs_workflow: boolean }>(
      fixture.pool,
      'select needs_workflow from inbox.entries where message_id = $1',
      [running],
    );
    assert.deepEqual(waiting, { needs_workflow: true });
    await theirs.terminate('done');
    await eventually('the record exists after the other workflow has closed', () => hasRecord(running));
  });

  it('prevents a campaign from being signaled', async () => {
    const id = randomUUID();
    const theirs = await fixture.client.workflow.start('OrderSaga', {
      workflowId: campaignWorkflowId(id),
      taskQueue: `sagas-${fixture.taskQueue}`,
    });
    await fixture.pool.query(
      `insert into inbox.campaigns (id, filter, total, canary, rate, concurrency, stop_above, actor)
       values ($1, '{}', 1, 0, 1, 1, 1, 'ann')`,
      [id],
    );
    await assert.rejects(pauseCampaign({ ...fixture, waitMs: 0 }, id), WorkflowIdTakenError);
    assert.deepEqual(await signalsOf(theirs), []);
    await theirs.terminate('done');
  });
});
