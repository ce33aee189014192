import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { InvalidCommandError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { JsonObject } from '../../../src/core/json.ts';
import { createRegistry } from '../../../src/commands/registry.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox, TestWorker } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const payload = z.object({
  failures: z.int().default(0),
  dies: z.boolean().default(false),
});
const pay = defineCommand({
  type: 'ExpressPay',
  express: true,
  schema: payload,
  retry: { initialInterval: '1500ms' },
  async handle({ payload: { failures, dies }, tx, emit, messageId, attempt, generation }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    emit({ aggregateType: 'payment', aggregateId: messageId, type: 'Paid', payload: { attempt } });
    if (dies && generation === 0) throw new UnrecoverableError('AccountClosed');
    if (attempt <= failures) throw new Error('not yet');
    return { attempt, generation };
  },
});
const ordinary = defineCommand({ type: 'OrdinaryPay', schema: z.object({}), handle: () => 'done' });

const entered = gate();
const leave = gate();
const held = defineCommand({
  type: 'ExpressHeld',
  express: true,
  schema: z.object({}),
  async handle() {
    entered.open();
    await leave.opened;
    return 'released';
  },
});

describe('express commands', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let worker: TestWorker;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (message_id text)');
    inbox = await createInbox({ pool: fixture.pool });
    worker = await fixture.startWorker([pay, ordinary, held]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const send = (name: string, type: string, body: JsonObject = {}) =>
    inbox.send({ messageId: fixture.id(name), type, payload: body });
  const hasWorkflow = (name: string) =>
    fixture.client.workflow
      .getHandle(fixture.id(name))
      .describe()
      .then(
        () => true,
        (error: unknown) => {
          if (error instanceof WorkflowNotFoundError) return false;
          throw error;
        },
      );
  const effects = async (name: string) =>
    (await rows(fixture.pool, 'select from effects where message_id = $1', [fixture.id(name)])).length;
  const events = async (name: string) =>
    rows(fixture.pool, `select type, payload from inbox.outbox where message_id = $1 order by position`, [
      fixture.id(name),
    ]);

  const isHandedOver = async (messageId: string) => {
    const sql = 'select from inbox.entries where message_id = $1 and not needs_workflow';
    return (await rows(fixture.pool, sql, [messageId])).length === 1;
  };

  it('complete without a workflow, in one transaction with their events', async () => {
    await send('success', 'ExpressPay');
    const entry = await fixture.reaches(fixture.id('success'), 'Completed');
    assert.deepEqual(entry.result, { attempt: 1, generation: 0 });
    assert.equal(entry.attempt, 1);
    assert.equal(await effects('success'), 1);
    assert.deepEqual(await events('success'), [{ type: 'Paid', payload: { attempt: 1 } }]);
    assert.equal(await hasWorkflow('success'), false);
  });

  it('run with the stored payload, even if the sender changes its object meanwhile', async () => {
    const given: JsonObject = { failures: 0, dies: false };
    const messageId = fixture.id('changed');
    const sent = inbox.send({ messageId, type: pay.type, payload: given });
    given['dies'] = true;
    const { entry } = await sent;
    const completed = await fixture.reaches(messageId, 'Completed');
    assert.deepEqual(completed.payload, { failures: 0, dies: false });
    assert.equal(entry.id, completed.id);
  });

  it('answer waiting senders, including those of duplicates', async () => {
    const message = { messageId: fixture.id('executed'), type: 'ExpressPay', payload: {} };
    assert.deepEqual(await inbox.execute(message), { attempt: 1, generation: 0 });
    assert.deepEqual(await inbox.execute(message), { attempt: 1, generation: 0 });
    assert.equal((await inbox.send(message)).answer, 'duplicate');
    assert.equal(await effects('executed'), 1);
  });

  it('are taken over by a workflow from attempt 2 on, which waits as long as the row says', async () => {
    await send('retried', 'ExpressPay', { failures: 2 });
    const messageId = fixture.id('retried');
    const failed = await fixture.reaches(messageId, 'Failed');
    assert.equal(failed.retryCount, 1);
    const entry = await fixture.reaches(messageId, 'Completed');
    assert.deepEqual(entry.result, { attempt: 3, generation: 0 });
    assert.equal(await effects('retried'), 1);
    const failures = await listFailures(fixture.pool, messageId);
    assert.deepEqual(
      failures.map(({ attempt, errorType }) => [attempt, errorType]),
      [
        [1, 'Error'],
        [2, 'Error'],
      ],
    );
    const handle = fixture.client.workflow.getHandle(messageId);
    assert.deepEqual(await handle.result(), { attempt: 3, generation: 0 });
    const { events: history } = await handle.fetchHistory();
    const retries = history!.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []);
    assert.deepEqual(
      retries.map(({ activityType }) => activityType!.name),
      ['retry'],
    );
    const [{ waited }] = (await rows<{ waited: boolean }>(
      fixture.pool,
      `select e.processed_at >= max(f.next_retry_at) as waited
       from inbox.entries e join inbox.failures f using (message_id) where message_id = $1 group by e.id`,
      [messageId],
    )) as [{ waited: boolean }];
    assert.ok(waited, 'no attempt ran before it was due');
  });

  it('become dead letters that their workflow reports, and can be replayed by a signal', async () => {
    await send('dead', 'ExpressPay', { dies: true });
    const messageId = fixture.id('dead');
    await fixture.reaches(messageId, 'DeadLetter');
    await eventually('its workflow reports the dead letter', async () => {
      const report = await fixture.status(messageId);
      return report.status === 'DeadLetter';
    });
    await fixture.client.workflow.getHandle(messageId).signal('replay', { actor: 'test' });
    const entry = await fixture.reaches(messageId, 'Completed');
    assert.deepEqual(entry.result, { attempt: 1, generation: 1 });
    assert.equal(await effects('dead'), 1);
    const [letter] = await listDeadLetters(fixture.pool, messageId);
    assert.equal(letter!.resolution, 'replayed');
  });

  it('get their workflow from the reconciler if their worker could not start it', async () => {
    await send('left', 'ExpressPay', { dies: true });
    const messageId = fixture.id('left');
    await fixture.reaches(messageId, 'DeadLetter');
    await eventually('its workflow is started', () => hasWorkflow('left'));
    // Wait until the worker has noted the start in the row, because a later note would undo the test's own update.
    await eventually('the start is noted', () => isHandedOver(messageId));
    const handle = fixture.client.workflow.getHandle(messageId);
    const { runId } = await handle.describe();
    await handle.terminate('removed by the test');
    // The state after a worker died between the failed attempt and the start of the workflow.
    await fixture.pool.query(
      `update inbox.entries set needs_workflow = true, relayed_at = now() - interval '1 minute' where message_id = $1`,
      [messageId],
    );
    await eventually('the workflow runs again', async () => {
      const now = await handle.describe();
      return now.status.name === 'RUNNING' && now.runId !== runId;
    });
    await eventually('the new start is noted', () => isHandedOver(messageId));
  });

  it('run as ordinary commands if a Temporal client starts them', async () => {
    const handle = await fixture.start(fixture.id('started'), { commandType: 'ExpressPay', payload: {} });
    assert.deepEqual(await handle.result(), { attempt: 1, generation: 0 });
  });

  it('are accepted once, even if many duplicates arrive at the same time in both ways', async () => {
    const messageId = fixture.id('rush');
    const envelope = { commandType: 'ExpressPay', payload: {} };
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        index % 3 === 0
          ? fixture.start(messageId, envelope).catch(() => {})
          : inbox.send({ messageId, type: 'ExpressPay', payload: {} }),
      ),
    );
    await fixture.reaches(messageId, 'Completed');
    assert.equal(await effects('rush'), 1);
  });

  it('complete in a burst together with ordinary commands, shared by two workers', async () => {
    const second = await fixture.startWorker([pay, ordinary]);
    const burst = Array.from({ length: 400 }, (_, index) => ({
      messageId: fixture.id(`burst-${index}`),
      type: index % 4 === 0 ? 'OrdinaryPay' : 'ExpressPay',
      payload: {},
    }));
    await inbox.send(burst);
    const ids = burst.map(({ messageId }) => messageId);
    await eventually('all commands are completed', async () => {
      const sql = `select from inbox.entries where message_id = any ($1) and status = 'Completed'`;
      return (await rows(fixture.pool, sql, [ids])).length === ids.length;
    });
    const effectRows = await rows(fixture.pool, 'select from effects where message_id = any ($1)', [ids]);
    assert.equal(effectRows.length, 300);
    await second.stop();
  });

  it('may finish when their worker stops, while waiting commands are left to other workers', async () => {
    await send('held', 'ExpressHeld');
    await entered.opened;
    const stopped = worker.stop();
    await eventually('the worker takes no more commands', async () => {
      const name = `probe-${Math.random()}`;
      await send(name, 'ExpressPay');
      const found = `select from inbox.entries where message_id = $1 and status = 'Pending'
                     and received_at < now() - interval '300 ms'`;
      return eventually('the probe is completed or left in the table', async () => {
        if ((await inbox.status(fixture.id(name)))?.status === 'Completed') return 'taken';
        return (await rows(fixture.pool, found, [fixture.id(name)])).length === 1 ? 'left' : null;
      }).then((how) => how === 'left');
    });
    assert.equal((await inbox.status(fixture.id('held')))!.status, 'Processing');
    leave.open();
    await stopped;
    const entry = await fixture.reaches(fixture.id('held'), 'Completed');
    assert.equal(entry.result, 'released');
  });

  it('cannot also be long-running', () => {
    const both = { ...pay, longRunning: true };
    assert.throws(() => createRegistry([both]), InvalidCommandError);
  });
});
