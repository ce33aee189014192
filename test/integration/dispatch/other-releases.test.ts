/**
 * Workers that know different command types share a database, as in a rolling deploy or when two services use one database.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { findUnknownTypes, listLiveWorkers } from '../../../src/store/workers.ts';
import { allCompleted, createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const payload = z.object({ failures: z.int().default(0) });
const command = (type: string, options: Partial<CommandDefinition> = {}) =>
  defineCommand({
    type,
    schema: payload,
    retry: { initialInterval: '100ms' },
    ...options,
    handle(context) {
      const { attempt } = context;
      if (attempt <= (context.payload as { failures: number }).failures) throw new Error('not yet');
      return { attempt };
    },
  });

const old = command('Old');
const added = [
  command('New'),
  command('NewExpress', { express: true }),
  command('NewRecorded', { express: 'recorded' }),
  command('NewLong', { longRunning: true }),
];
const NEW_TYPES = added.map(({ type }) => type);

describe('two releases on one database', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const messages = (name: string, types: readonly string[], each: number, failures = 0) =>
    types.flatMap((type) =>
      Array.from({ length: each }, (_, index) => ({
        messageId: fixture.id(`${name}-${type}-${index}`),
        type,
        payload: { failures },
      })),
    );
  /** Sends like another process would, so that no worker in this process is told directly. */
  const send = (sent: ReturnType<typeof messages>) =>
    withTransaction(fixture.pool, (tx) => inbox.send(sent, { tx }));
  const startDirectly = (sent: ReturnType<typeof messages>) =>
    Promise.all(
      sent.map(({ messageId, type, payload: body }) =>
        fixture.start(messageId, { commandType: type, payload: body }),
      ),
    );
  const statuses = async (sent: ReturnType<typeof messages>) =>
    rows<{ status: string; attempt: number; retry: number }>(
      fixture.pool,
      `select status, attempt, retry_count as retry from inbox.entries where message_id = any ($1)`,
      [sent.map(({ messageId }) => messageId)],
    );
  /** The maximum retry interval of each activity of the workflow, in ms, which applies after an attempt was lost. */
  const longestWaits = (messageId: string) =>
    eventually('an activity is scheduled', async () => {
      const { events } = await fixture.client.workflow.getHandle(messageId).fetchHistory();
      const policies = events!.map((event) => event.activityTaskScheduledEventAttributes?.retryPolicy);
      const waits = policies
        .filter(Boolean)
        .map((policy) => Number(policy!.maximumInterval!.seconds) * 1_000);
      return waits.length > 0 && waits;
    });

  it('leave commands Pending that no running worker knows, count no attempt for them, and report them', async () => {
    const worker = await fixture.startWorker([old]);
    const unknown = messages('waits', NEW_TYPES, 3);
    const direct = messages('waits-direct', ['New', 'NewExpress'], 2);
    const known = messages('goes-on', ['Old'], 20);
    await send(unknown);
    await startDirectly(direct);
    await send(known);
    await allCompleted(fixture.pool, known);
    await eventually('the commands that were started directly are stored', async () => {
      return (await statuses(direct)).length === direct.length;
    });
    for (const { status, attempt } of [...(await statuses(unknown)), ...(await statuses(direct))]) {
      assert.deepEqual([status, attempt], ['Pending', 0]);
    }
    // The activity was retried many times meanwhile. This must not make Temporal wait for minutes if a worker dies now.
    assert.deepEqual(await longestWaits(direct[0]!.messageId), [10_000]);
    const found = await findUnknownTypes(fixture.pool);
    assert.deepEqual(found.map(({ commandType, count }) => `${commandType} ${count}`).sort(), [
      'New 5',
      'NewExpress 5',
      'NewLong 3',
      'NewRecorded 3',
    ]);

    // Once the new release is running, all commands are completed.
    const newer = await fixture.startWorker([old, ...added]);
    await allCompleted(fixture.pool, [...unknown, ...direct]);
    assert.deepEqual(await findUnknownTypes(fixture.pool), []);
    await worker.stop();
    await newer.stop();
  });

  it('produce no dead letters while both run, for all ways in, with retries', async () => {
    const workers = await Promise.all([
      fixture.startWorker([old]),
      fixture.startWorker([old, ...added]),
      fixture.startWorker([old]),
    ]);
    const sent = messages('both', ['Old', ...NEW_TYPES], 5, 1);
    const direct = messages('both-direct', ['Old', 'New', 'NewExpress', 'NewLong'], 5, 1);
    await send(sent);
    await startDirectly(direct);
    await allCompleted(fixture.pool, [...sent, ...direct]);
    for (const { messageId } of [...sent, ...direct]) {
      const failures = await listFailures(fixture.pool, messageId);
      // On an overloaded machine, a workflow task can time out and its attempt is lost.
      const others = failures.filter(({ errorType }) => errorType !== 'WorkerLost');
      assert.deepEqual(
        others.map(({ errorType }) => errorType),
        failures.length > others.length ? others.map(() => 'Error') : ['Error'],
      );
    }
    assert.deepEqual(await longestWaits(fixture.id('both-direct-Old-0')), [10_000]);
    await Promise.all(workers.map((worker) => worker.stop()));
  });

  it('don’t mix up two services that share a database and have separate task queues', async () => {
    const first = await fixture.startWorker([
      command('OfFirst'),
      command('OfFirstExpress', { express: true }),
    ]);
    const second = await fixture.startWorker(
      [command('OfSecond'), command('OfSecondExpress', { express: true })],
      { taskQueue: `${fixture.taskQueue}-second` },
    );
    const sent = messages('service', ['OfFirst', 'OfFirstExpress', 'OfSecond', 'OfSecondExpress'], 20, 1);
    await send(sent);
    await allCompleted(fixture.pool, sent);
    const described = await fixture.client.workflow.getHandle(fixture.id('service-OfSecond-0')).describe();
    assert.equal(described.taskQueue, `${fixture.taskQueue}-second`);
    await first.stop();
    await second.stop();
  });

  it('list the running workers, without those that have ended', async () => {
    const worker = await fixture.startWorker([old, ...added]);
    const [live] = await eventually('the worker is listed', async () => {
      const found = await listLiveWorkers(fixture.pool);
      return found.length === 1 ? found : null;
    });
    assert.equal(live!.taskQueue, fixture.taskQueue);
    assert.deepEqual(live!.commandTypes, ['Old', ...NEW_TYPES]);
    await worker.stop();
    assert.deepEqual(await listLiveWorkers(fixture.pool), []);
  });
});
