/** Recorded commands: they complete without Temporal, and each gets a workflow afterwards. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { choosePort } from '../../../src/dev/process/ports.ts';
import { startTemporalServer } from '../../../src/dev/temporal/server.ts';
import type { TemporalServer } from '../../../src/dev/temporal/server.ts';
import { InvalidCommandError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { JsonObject } from '../../../src/core/json.ts';
import { SEARCH_ATTRIBUTES } from '../../../src/core/protocol.ts';
import type { Envelope } from '../../../src/core/protocol.ts';
import { createRegistry } from '../../../src/commands/registry.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const pay = defineCommand({
  type: 'RecordedPay',
  express: 'recorded',
  schema: z.object({ failures: z.int().default(0), dies: z.boolean().default(false) }),
  retry: { initialInterval: '50ms' },
  async handle({ payload: { failures, dies }, tx, messageId, attempt, generation }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    if (dies && generation === 0) throw new UnrecoverableError('AccountClosed');
    if (attempt <= failures) throw new Error('not yet');
    return { attempt };
  },
});

async function createFixture(address?: string): Promise<{ fixture: TestInbox; inbox: Inbox }> {
  const fixture = await createTestInbox(address === undefined ? {} : { address });
  await fixture.pool.query('create table effects (message_id text)');
  const inbox = await createInbox({ pool: fixture.pool });
  await fixture.startWorker([pay], { concurrency: 8, expressConcurrency: 8 });
  return { fixture, inbox };
}

/** Waits until all commands are Completed and recorded, and checks that each has one effect. */
async function recordedOnce(fixture: TestInbox, ids: readonly string[]): Promise<void> {
  await eventually('all commands are recorded', async () => {
    const sql = `select from inbox.entries where message_id = any ($1) and status = 'Completed' and not needs_workflow`;
    return (await rows(fixture.pool, sql, [ids])).length === ids.length;
  });
  const effects = await rows(fixture.pool, 'select from effects where message_id = any ($1)', [ids]);
  assert.equal(effects.length, ids.length);
}

describe('recorded commands', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    ({ fixture, inbox } = await createFixture());
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const send = (name: string, payload: JsonObject = {}) =>
    inbox.send({ messageId: fixture.id(name), type: 'RecordedPay', payload, correlationId: 'flow' });
  const workflow = (name: string) => fixture.client.workflow.getHandle(fixture.id(name));

  it('get a workflow that shows their result and runs no attempt itself', async () => {
    await send('success');
    await recordedOnce(fixture, [fixture.id('success')]);
    assert.deepEqual(await workflow('success').result(), { attempt: 1 });
    const { events } = await workflow('success').fetchHistory();
    const types = events!.map(({ eventType }) => String(eventType));
    // One workflow task, which includes the lookup of the entry.
    assert.equal(types.length, 6, types.join());
    const { status, commandType } = await fixture.status(fixture.id('success'));
    assert.deepEqual([status, commandType], ['Completed', 'RecordedPay']);
    const { searchAttributes } = await workflow('success').describe();
    assert.deepEqual(searchAttributes[SEARCH_ATTRIBUTES.commandType], ['RecordedPay']);
    assert.deepEqual(searchAttributes[SEARCH_ATTRIBUTES.correlationId], ['flow']);
  });

  it('have the result that is stored in Postgres, whatever the workflow’s argument says', async () => {
    const forged = {
      commandType: 'RecordedPay',
      completed: { at: '2020-01-01T00:00:00Z', result: { paid: 1e6 } },
    };
    const start = (name: string) => fixture.start(fixture.id(name), forged as unknown as Envelope);
    // Completed with another result.
    await send('forged-result');
    await recordedOnce(fixture, [fixture.id('forged-result')]);
    await workflow('forged-result').result();
    const handle = await start('forged-result');
    assert.deepEqual(await handle.result(), { attempt: 1 });
    // No such entry.
    const unknown = await start('forged-entry');
    await assert.rejects(unknown.result(), (error) =>
      /no entry has the message_id/.test(String((error as Error).cause)),
    );
    assert.equal(await fixture.entry(fixture.id('forged-entry')), null);
    // The failed forgery does not take the place of the real record.
    await send('forged-entry');
    await recordedOnce(fixture, [fixture.id('forged-entry')]);
    assert.deepEqual(await workflow('forged-entry').result(), { attempt: 1 });
    // The entry exists but is not completed: it is handled normally.
    await fixture.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint, relayed_at)
       values ($1, 'RecordedPay', '{}', inbox.fingerprint('RecordedPay', '{}'), now())`,
      [fixture.id('forged-early')],
    );
    const early = await start('forged-early');
    assert.deepEqual(await early.result(), { attempt: 1 });
    await recordedOnce(fixture, [fixture.id('forged-early')]);
  });

  it('are all recorded in a burst that is larger than the number of slots', async () => {
    const burst = Array.from({ length: 150 }, (_, index) => ({
      messageId: fixture.id(`burst-${index}`),
      type: 'RecordedPay',
      payload: {},
    }));
    const ids = burst.map(({ messageId }) => messageId);
    await inbox.send(burst);
    await recordedOnce(fixture, ids);
    const results = await Promise.all(
      ids.map((id) => fixture.client.workflow.getHandle(id).result() as Promise<unknown>),
    );
    assert.equal(results.filter((result) => JSON.stringify(result) === '{"attempt":1}').length, 150);
  });

  it('have only the workflow that took them over if their first attempt failed', async () => {
    await send('retried', { failures: 2 });
    await recordedOnce(fixture, [fixture.id('retried')]);
    assert.deepEqual(await workflow('retried').result(), { attempt: 3 });
    await send('dead', { dies: true });
    await fixture.reaches(fixture.id('dead'), 'DeadLetter');
    await eventually('its workflow reports the dead letter', async () => {
      return (await fixture.status(fixture.id('dead'))).status === 'DeadLetter';
    });
    await workflow('dead').signal('replay', { actor: 'test' });
    await recordedOnce(fixture, [fixture.id('retried'), fixture.id('dead')]);
    for (const name of ['retried', 'dead']) {
      const { events } = await workflow(name).fetchHistory();
      assert.ok(
        events!.some(({ activityTaskScheduledEventAttributes }) => activityTaskScheduledEventAttributes),
        `the last run of ${name} is only a record`,
      );
    }
  });

  it('are recorded by another worker if theirs died first', async () => {
    // The state after COMMIT.
    await fixture.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, status, attempt, claimed_at, processed_at, result,
         fingerprint, needs_workflow, relayed_at)
       values ($1, 'RecordedPay', '{}', 'Completed', 1, now(), now(), '{"attempt": 1}', '\\x00', true,
         now() - interval '14 seconds')`,
      [fixture.id('left')],
    );
    await assert.rejects(workflow('left').describe(), WorkflowNotFoundError);
    await eventually('the command is recorded', async () => {
      const sql = 'select from inbox.entries where message_id = $1 and not needs_workflow';
      return (await rows(fixture.pool, sql, [fixture.id('left')])).length === 1;
    });
    assert.deepEqual(await workflow('left').result(), { attempt: 1 });
  });

  it('are not recorded twice', async () => {
    await send('twice');
    await recordedOnce(fixture, [fixture.id('twice')]);
    await workflow('twice').result();
    const { runId } = await workflow('twice').describe();
    await fixture.pool.query(
      'update inbox.entries set needs_workflow = true, relayed_at = null where message_id = $1',
      [fixture.id('twice')],
    );
    await recordedOnce(fixture, [fixture.id('twice')]);
    assert.equal((await workflow('twice').describe()).runId, runId);
  });

  it('run as ordinary commands if a Temporal client starts them, whatever its envelope contains', async () => {
    const handle = await fixture.start(fixture.id('started'), { commandType: 'RecordedPay', payload: {} });
    assert.deepEqual(await handle.result(), { attempt: 1 });
    const forged = { commandType: 'RecordedPay', payload: {}, completed: { at: 'now', result: 'forged' } };
    const other = await fixture.start(fixture.id('forged'), forged);
    assert.notEqual(await other.result().catch(() => 'refused'), 'forged');
  });

  it('must be declared as exactly `recorded`', () => {
    const wrong = defineCommand({ ...pay, express: 'remembered' as 'recorded' });
    assert.throws(() => createRegistry([wrong]), InvalidCommandError);
    assert.throws(() => createRegistry([{ ...pay, longRunning: true }]), InvalidCommandError);
  });
});

describe('recorded commands while Temporal is down', () => {
  let server: TemporalServer;
  let fixture: TestInbox;
  let inbox: Inbox;
  let port: number;

  const start = () =>
    startTemporalServer({ port, uiPort: null, searchAttributes: Object.values(SEARCH_ATTRIBUTES) });

  before(async () => {
    port = await choosePort();
    server = await start();
    ({ fixture, inbox } = await createFixture(`127.0.0.1:${port}`));
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
    await server.stop();
  });

  it('complete, and are recorded when Temporal is back', { timeout: 120_000 }, async () => {
    const messages = Array.from({ length: 60 }, (_, index) => ({
      messageId: fixture.id(`away-${index}`),
      type: 'RecordedPay',
      payload: {},
    }));
    const ids = messages.map(({ messageId }) => messageId);
    await server.kill();
    for (const message of messages.slice(0, 20)) await inbox.send(message);
    await inbox.send(messages.slice(20));
    await eventually('all commands are completed', async () => {
      const sql = `select from inbox.entries where message_id = any ($1) and status = 'Completed' and needs_workflow`;
      return (await rows(fixture.pool, sql, [ids])).length === ids.length;
    });
    server = await start();
    await recordedOnce(fixture, ids);
    const handles = ids.map((id) => fixture.client.workflow.getHandle(id));
    const results = await Promise.all(handles.map((handle) => handle.result()));
    assert.ok(results.every((result) => JSON.stringify(result) === '{"attempt":1}'));
  });
});
