/**
 * A workflow whose type is a command's type: started by any Temporal client with the payload as its argument, or by the
 * inbox for an entry in Postgres.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { InvalidCommandError, InvalidMessageError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { RESERVED_TYPES, STORED_PAYLOAD } from '../../../src/core/protocol.ts';
import { noteCommandTypes } from '../../../src/store/command-types.ts';
import { discardCommand, replayCommand, startCommand } from '../../../src/temporal/client-commands.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const note = defineCommand({
  type: 'Note',
  schema: z.unknown(),
  handle: ({ payload, correlationId, causationId, metadata }) => ({
    payload,
    correlationId,
    causationId,
    metadata,
  }),
});

/** Names that every object inherits. The lookup of a workflow function must not find those. */
const INHERITED = ['toString', 'constructor', 'hasOwnProperty', 'valueOf', '__proto__', '__defineGetter__'];
const inherited = INHERITED.map((type) =>
  defineCommand({ type, schema: z.unknown(), handle: () => `this was ${type}` }),
);

const recorded = defineCommand({
  type: 'Recorded',
  express: 'recorded',
  schema: z.unknown(),
  handle: () => ({ recorded: true }),
});

const dies = defineCommand({
  type: 'Dies',
  schema: z.unknown(),
  handle({ generation }) {
    if (generation === 0) throw new UnrecoverableError('NotYet');
    return { generation };
  },
});

const patient = defineCommand({
  type: 'Patient',
  schema: z.unknown(),
  retry: { initialInterval: '1h', maximumInterval: '1h' },
  handle() {
    throw new Error('not today');
  },
});

const flaky = defineCommand({
  type: 'Flaky',
  schema: z.unknown(),
  retry: { maximumAttempts: 3, initialInterval: '10ms' },
  handle({ attempt }) {
    if (attempt < 3) throw new Error('not yet');
    return { attempt };
  },
});

function jsonPayload(json: string) {
  return { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from(json) };
}

async function assertRefused(handle: WorkflowHandle, type: string, message: RegExp): Promise<void> {
  await assert.rejects(handle.result(), ({ cause }: { cause: { type: string; message: string } }) => {
    assert.equal(cause.type, type);
    assert.match(cause.message, message);
    return true;
  });
}

describe('a workflow with the type of a command', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([note, dies, flaky, patient, recorded, ...inherited]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const start = (type: string, name: string, args: unknown[]): Promise<WorkflowHandle> =>
    fixture.client.workflow.start(type, {
      workflowId: fixture.id(name),
      taskQueue: fixture.taskQueue,
      args,
    });

  /** Starts it as a client in another language would, with JSON that JavaScript's JSON does not produce. */
  async function startRaw(type: string, name: string, ...json: string[]): Promise<WorkflowHandle> {
    await fixture.client.workflowService.startWorkflowExecution({
      namespace: fixture.client.options.namespace,
      workflowId: fixture.id(name),
      workflowType: { name: type },
      taskQueue: { name: fixture.taskQueue },
      requestId: fixture.id(name),
      input: { payloads: json.map(jsonPayload) },
    });
    return fixture.client.workflow.getHandle(fixture.id(name));
  }

  it('takes the payload as its argument', async () => {
    const handle = await start('Note', 'plain', [{ to: 'ann' }]);
    assert.deepEqual(await handle.result(), {
      payload: { to: 'ann' },
      correlationId: null,
      causationId: null,
      metadata: {},
    });
    const entry = await fixture.entry(fixture.id('plain'));
    assert.deepEqual([entry!.commandType, entry!.status], ['Note', 'Completed']);
  });

  it('takes what comes with the payload as a second argument', async () => {
    const options = { correlationId: 'flow', causationId: 'before', metadata: { tenant: 7 } };
    const handle = await start('Note', 'options', [{ to: 'ann' }, options]);
    assert.deepEqual(await handle.result(), { payload: { to: 'ann' }, ...options });
  });

  for (const payload of [null, 0, false, '', [], 'text', 1.5]) {
    it(`takes any JSON as the payload: ${JSON.stringify(payload)}`, async () => {
      const handle = await start('Note', `json ${JSON.stringify(payload)}`, [payload]);
      assert.deepEqual(((await handle.result()) as { payload: unknown }).payload, payload);
    });
  }

  for (const type of INHERITED) {
    it(`runs the command ${type}, whose name every object has`, async () => {
      const handle = await start(type, `inherited ${type}`, [{}]);
      assert.equal(await handle.result(), `this was ${type}`);
      const sent = fixture.id(`sent ${type}`);
      await inbox.send({ messageId: sent, type, payload: {} });
      assert.equal((await fixture.reaches(sent, 'Completed')).result, `this was ${type}`);
    });
  }

  const REFUSED: [what: string, type: string, args: unknown[], failure: string, message: RegExp][] = [
    ['a type that no worker has known', 'NoSuchCommand', [{}], 'UnknownCommandType', /NoSuchCommand.*Note/s],
    ['no argument and no entry', 'Note', [], 'InvalidEnvelope', /no entry has the message_id/],
    ['no payload', 'Note', [undefined, { correlationId: 'c' }], 'InvalidEnvelope', /payload is missing/],
    ['three arguments', 'Note', [{}, {}, {}], 'InvalidEnvelope', /3 arguments/],
    ['a second argument that is no object', 'Note', [{}, 'flow'], 'InvalidEnvelope', /second argument must/],
    ['a list as the second argument', 'Note', [{}, ['flow']], 'InvalidEnvelope', /second argument must/],
    [
      'an unknown field',
      'Note',
      [{}, { correlationID: 'c' }],
      'InvalidEnvelope',
      /"correlationID".*correlationId/,
    ],
    [
      'a second type',
      'Note',
      [{}, { commandType: 'Dies' }],
      'InvalidEnvelope',
      /unknown field "commandType"/,
    ],
    [
      'a correlationId that is no text',
      'Note',
      [{}, { correlationId: 7 }],
      'InvalidEnvelope',
      /correlationId must be text/,
    ],
    [
      'metadata that is no object',
      'Note',
      [{}, { metadata: [] }],
      'InvalidEnvelope',
      /metadata must be an object/,
    ],
    ['a claim that the entry exists', 'Note', ['x', { stored: true }], 'InvalidEnvelope', /no entry has/],
    ['stored that is not true', 'Note', ['x', { stored: 1 }], 'InvalidEnvelope', /stored must be true/],
    [
      'a claim that it has completed',
      'Note',
      ['x', { stored: true, completed: '2026-01-01T00:00:00Z' }],
      'InvalidEnvelope',
      /no entry has/,
    ],
    [
      'a record with a result',
      'Note',
      ['x', { stored: true, completed: {} }],
      'InvalidEnvelope',
      /must be a time/,
    ],
    ['a record alone', 'Note', ['x', { completed: '2026' }], 'InvalidEnvelope', /stored must be true/],
    ['a campaign without its argument', 'replayCampaign', [{}], 'UnknownCampaign', /campaignId/],
    ['an alert that does not exist', 'deliverAlert', [{}], 'InvalidAlert', /./],
  ];
  for (const [what, type, args, failure, message] of REFUSED) {
    it(`fails and stores nothing: ${what}`, async () => {
      await assertRefused(await start(type, what, args), failure, message);
      assert.equal(await fixture.entry(fixture.id(what)), null);
    });
  }

  const REFUSED_JSON: [what: string, json: string[], message: RegExp][] = [
    ['a number beyond the doubles', ['1e400'], /1e400/],
    ['an integer that a double does not hold', ['9007199254740993'], /9007199254740993/],
    ['such an integer inside', ['{"a":[9007199254740993]}'], /9007199254740993/],
    ['such an integer in the metadata', ['{}', '{"metadata":{"a":9007199254740993}}'], /9007199254740993/],
    ['a lone surrogate', [String.raw`"\ud800"`], /lone surrogate/],
    ['text that is no JSON', ['{"a":'], /cannot be decoded/],
    ['a second argument that is no JSON', ['{}', '{"a":'], /cannot be decoded/],
    ['100,000 levels', ['['.repeat(100_000) + ']'.repeat(100_000)], /nested deeper|cannot be/],
  ];
  for (const [what, json, message] of REFUSED_JSON) {
    it(`fails and stores nothing: ${what}`, async () => {
      await assertRefused(await startRaw('Note', what, ...json), 'InvalidEnvelope', message);
      assert.equal(await fixture.entry(fixture.id(what)), null);
    });
  }

  it('waits if a worker has known the type before', async () => {
    await noteCommandTypes(fixture.pool, ['LongGone']);
    await start('LongGone', 'long gone', [{ kept: true }]);
    assert.deepEqual((await fixture.reaches(fixture.id('long gone'), 'Pending')).payload, { kept: true });
  });

  it('fails if the id belongs to a command of another type, with or without a payload', async () => {
    const id = fixture.id('other type');
    await inbox.send({ messageId: id, type: 'Note', payload: {} });
    await fixture.reaches(id, 'Completed');
    await fixture.client.workflow.getHandle(id).result();
    const args = [[{}], [], ['x', { stored: true }], ['x', { stored: true, completed: '2026' }]];
    for (const given of args) {
      await assertRefused(
        await start('Dies', 'other type', given),
        'IdempotencyConflict',
        /was accepted before/,
      );
    }
    assert.equal((await fixture.entry(id))!.commandType, 'Note');
  });

  it('returns the first result to a repeated start', async () => {
    const first = await (await start('Note', 'twice', ['a'])).result();
    assert.deepEqual(await (await start('Note', 'twice', ['a'])).result(), first);
    await assertRefused(
      await start('Note', 'twice', ['b']),
      'IdempotencyConflict',
      /another command type or payload/,
    );
  });

  it('is what the relay starts; its input says where the payload is', async () => {
    const id = fixture.id('sent');
    await inbox.send({ messageId: id, type: 'Note', payload: { secret: 'swordfish' } });
    await fixture.reaches(id, 'Completed');
    const handle = fixture.client.workflow.getHandle(id);
    const { payload } = (await handle.result()) as { payload: unknown };
    assert.deepEqual(payload, { secret: 'swordfish' });
    assert.equal((await handle.describe()).type, 'Note');
    const started = (await handle.fetchHistory()).events![0]!.workflowExecutionStartedEventAttributes!;
    const input = started.input!.payloads!.map(
      ({ data }) => JSON.parse(Buffer.from(data!).toString()) as unknown,
    );
    assert.deepEqual(input, [STORED_PAYLOAD, { stored: true }]);
  });

  it('is what records an express command', async () => {
    const id = fixture.id('recorded');
    await inbox.send({ messageId: id, type: 'Recorded', payload: {} });
    const { type } = await eventually('the record exists', () =>
      fixture.client.workflow.getHandle(id).describe(),
    );
    assert.equal(type, 'Recorded');
    assert.deepEqual(await fixture.client.workflow.getHandle(id).result(), { recorded: true });
  });

  it('is retried, becomes a dead letter and is replayed', async () => {
    assert.deepEqual(await (await start('Flaky', 'flaky', [{}])).result(), { attempt: 3 });
    const handle = await start('Dies', 'dead', [{}]);
    await fixture.reaches(fixture.id('dead'), 'DeadLetter');
    await handle.signal('replay', { actor: 'ann' });
    assert.deepEqual(await handle.result(), { generation: 1 });
  });

  it('is started again under the same type by replayCommand, and signaled by discardCommand', async () => {
    for (const [name, act] of [
      ['again-replayed', replayCommand],
      ['again-discarded', discardCommand],
    ] as const) {
      const id = fixture.id(name);
      const handle = await start('Dies', name, [{}]);
      await fixture.reaches(id, 'DeadLetter');
      await handle.terminate('an operator');
      await act(fixture.client, id, { actor: 'ann' }, { taskQueue: fixture.taskQueue });
      const latest = fixture.client.workflow.getHandle(id);
      await latest.result().catch(() => {});
      assert.equal((await latest.describe()).type, 'Dies');
      const [letter] = await rows<{ resolution: string }>(
        fixture.pool,
        'select resolution from inbox.dead_letters where message_id = $1',
        [id],
      );
      assert.equal(letter!.resolution, act === replayCommand ? 'replayed' : 'discarded');
    }
  });

  it('is not what replayCommand starts again if its type was a mistake', async () => {
    for (const [name, act] of [
      ['mistaken-replay', replayCommand],
      ['mistaken-discard', discardCommand],
    ] as const) {
      const id = fixture.id(name);
      const handle = await start('Dies', name, [{}]);
      await fixture.reaches(id, 'DeadLetter');
      await handle.terminate('an operator');
      await assertRefused(await start('Note', name, [{}]), 'IdempotencyConflict', /was accepted before/);
      await act(fixture.client, id, {}, { taskQueue: fixture.taskQueue });
      await fixture.client.workflow
        .getHandle(id)
        .result()
        .catch(() => {});
      const [letter] = await rows<{ resolution: string }>(
        fixture.pool,
        'select resolution from inbox.dead_letters where message_id = $1',
        [id],
      );
      assert.equal(letter!.resolution, act === replayCommand ? 'replayed' : 'discarded');
    }
  });

  it('changes nothing if it is canceled and its ID belongs to a command of another type', async () => {
    const id = fixture.id('other-canceled');
    await inbox.send({ messageId: id, type: 'Patient', payload: {} });
    await fixture.reaches(id, 'Failed');
    await fixture.client.workflow.getHandle(id).terminate('an operator');
    // The delay makes the cancellation arrive before the first attempt.
    const { taskQueue, client } = fixture;
    const options = { workflowId: id, taskQueue, args: [{}], startDelay: '1 second' as const };
    const other = await client.workflow.start('Note', options);
    await other.cancel();
    await assert.rejects(other.result());
    assert.equal((await fixture.entry(id))!.status, 'Failed');
  });

  it('is what startCommand starts, with what comes with the payload', async () => {
    const { taskQueue, client } = fixture;
    const message = { messageId: fixture.id('by-value'), payload: { a: 1 }, correlationId: 'flow' };
    const handle = await startCommand(client, note, message, { taskQueue });
    const result = (await handle.result()) as { payload: unknown; correlationId: string };
    assert.deepEqual([result.payload, result.correlationId], [{ a: 1 }, 'flow']);
    assert.equal((await client.workflow.getHandle(message.messageId).describe()).type, 'Note');
  });

  for (const type of RESERVED_TYPES) {
    it(`cannot be ${type}: no command can have the type of one of the inbox's own workflows`, async () => {
      const messageId = fixture.id(`reserved ${type}`);
      assert.throws(() => defineCommand({ type, schema: z.unknown(), handle() {} }), InvalidCommandError);
      await assert.rejects(inbox.send({ messageId, type, payload: {} }), InvalidMessageError);
      await assert.rejects(
        fixture.pool.query(`select inbox.send($1, $2, '{}')`, [messageId, type]),
        ({ code }: { code: string }) => code === 'IB002',
      );
      const handle = await fixture.start(messageId, { commandType: type, payload: {} });
      await assertRefused(handle, 'InvalidEnvelope', /one of the inbox's own workflows/);
      assert.equal(await fixture.entry(messageId), null);
    });
  }
});

describe('while a worker of an earlier release polls the task queue', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    // What such a worker writes: it does not know the column that says which workflows it can run.
    await fixture.pool.query(
      `insert into inbox.workers (id, identity, namespace, task_queue, command_types)
       values (gen_random_uuid(), 'older', 'default', $1, '{Note}')`,
      [fixture.taskQueue],
    );
    await fixture.startWorker([note, dies, recorded]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const typeOf = async (id: string) => (await fixture.client.workflow.getHandle(id).describe()).type;

  it('the inbox starts handleCommand, and the command type again once that worker is gone', async () => {
    const id = fixture.id('during');
    await inbox.send({ messageId: id, type: 'Note', payload: {} });
    await fixture.reaches(id, 'Completed');
    assert.equal(await typeOf(id), 'handleCommand');
    const express = fixture.id('during-recorded');
    await inbox.send({ messageId: express, type: 'Recorded', payload: {} });
    assert.equal(await eventually('the record exists', () => typeOf(express)), 'handleCommand');

    const dead = fixture.id('during-dead');
    await inbox.send({ messageId: dead, type: 'Dies', payload: {} });
    await fixture.reaches(dead, 'DeadLetter');

    await fixture.pool.query(`delete from inbox.workers where identity = 'older'`);
    await eventually('the worker notices it', () =>
      fixture.logs().some((line) => line.includes("new workflows have their command's type again")),
    );
    const afterwards = fixture.id('after');
    await inbox.send({ messageId: afterwards, type: 'Note', payload: {} });
    await fixture.reaches(afterwards, 'Completed');
    assert.equal(await typeOf(afterwards), 'Note');

    // The dead letter still waits in a workflow of the old type.
    await replayCommand(fixture.client, dead, {}, { taskQueue: fixture.taskQueue });
    await fixture.reaches(dead, 'Completed');
    assert.equal(await typeOf(dead), 'handleCommand');
  });
});
