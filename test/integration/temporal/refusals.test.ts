/**
 * An argument from Temporal that cannot become an entry fails its workflow with InvalidEnvelope. The failure must fit into
 * Temporal's history; otherwise the workflow task would fail forever.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const anything = defineCommand({ type: 'Anything', schema: z.unknown(), handle: ({ payload }) => payload });

const dies = defineCommand({
  type: 'Dies',
  schema: z.unknown(),
  handle() {
    throw new UnrecoverableError('Dead');
  },
});

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

function jsonPayload(json: string) {
  return { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from(json) };
}

/** JSON text, as clients in other languages send it. */
const REFUSED: [what: string, json: string, message: RegExp][] = [
  ['text', '"Anything"', /the argument must be an object/],
  ['a list', '[]', /the argument must be an object/],
  ['a lone surrogate in a value', '{"commandType":"Anything","payload":"\\ud800"}', /lone surrogate/],
  ['a lone surrogate in a key', '{"commandType":"Anything","payload":{"\\ud800":1}}', /lone surrogate/],
  ['NUL in a key', '{"commandType":"Anything","payload":{"\\u0000":1}}', /NUL/],
  ['a lone surrogate in the type', '{"commandType":"\\ud800","payload":1}', /commandType/],
  ['an integer beyond 2^53', '{"commandType":"Anything","payload":9007199254740993}', /2\^53/],
  ['500 levels', `{"commandType":"Anything","payload":${nested(500)}}`, /nested deeper/],
  ['a key of 1 MB', `{"commandType":"Anything","payload":{"${'k'.repeat(1_000_000)}":"\\u0000"}}`, /NUL/],
  ['1 MB and a byte', `{"commandType":"Anything","payload":"${'x'.repeat(1_048_575)}"}`, /1048577 bytes/],
];

const ACCEPTED: [what: string, json: string][] = [
  ['1 MB', `"${'x'.repeat(1_048_574)}"`],
  ['keys named __proto__', '{"__proto__":{"polluted":true},"constructor":{"prototype":1}}'],
  ['200 levels', nested(200)],
  ['null', 'null'],
  ['control characters', '"\\u0001\\u001b\\u007f"'],
];

describe('a command that arrives through Temporal', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([anything, dies]);
  });
  after(() => inbox.close());

  for (const [what, json, message] of REFUSED) {
    it(`is refused and not stored: ${what}`, async () => {
      const messageId = inbox.id(what);
      const handle = await inbox.start(messageId, JSON.parse(json) as never);
      await assert.rejects(handle.result(), ({ cause }: { cause: { type: string; message: string } }) => {
        assert.equal(cause.type, 'InvalidEnvelope');
        assert.match(cause.message, message);
        return true;
      });
      assert.equal(await inbox.entry(messageId), null);
    });
  }

  for (const [what, json] of ACCEPTED) {
    it(`is accepted and stored unchanged: ${what}`, async () => {
      const messageId = inbox.id(what);
      const payload: unknown = JSON.parse(json);
      const handle = await inbox.start(messageId, { commandType: 'Anything', payload: payload as never });
      await handle.result();
      const [entry] = await rows<{ payload: unknown; result: unknown }>(
        inbox.pool,
        'select payload, result from inbox.entries where message_id = $1',
        [messageId],
      );
      assert.equal(JSON.stringify(entry!.payload), JSON.stringify(payload));
      assert.equal(JSON.stringify(entry!.result), JSON.stringify(payload));
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    });
  }

  it('can have any id that Temporal and Postgres can store', async () => {
    for (const name of ['../..', 'a/b?c#d%20e', '__proto__', '😀', 'שלום', ' spaces ', "';--"]) {
      const messageId = inbox.id(name);
      const handle = await inbox.start(messageId, { commandType: 'Anything', payload: name });
      assert.equal(await handle.result(), name);
      assert.equal((await inbox.entry(messageId))?.status, 'Completed');
    }
  });

  it('is refused if it has 100,000 levels, which cannot even be serialized', async () => {
    const messageId = inbox.id('abyss');
    await startRaw(messageId, `{"commandType":"Anything","payload":${nested(100_000)}}`);
    const handle = inbox.client.workflow.getHandle(messageId);
    await assert.rejects(handle.result(), ({ cause }: { cause: { type: string } }) => {
      assert.equal(cause.type, 'InvalidEnvelope');
      return true;
    });
    assert.equal(await inbox.entry(messageId), null);
  });

  it('keeps its dead letter if a replay with 100,000 levels is refused', async () => {
    const messageId = inbox.id('abyss-replay');
    const handle = await inbox.start(messageId, { commandType: 'Dies', payload: 1 });
    await inbox.reaches(messageId, 'DeadLetter');
    await inbox.client.workflowService.signalWorkflowExecution({
      namespace: inbox.client.options.namespace,
      workflowExecution: { workflowId: messageId },
      signalName: 'replay',
      input: { payloads: [jsonPayload(`{"payload":${nested(100_000)}}`)] },
    });
    await eventually(
      'the replay is refused',
      async () => (await inbox.status(messageId)).refusals.count === 1,
    );
    await handle.signal('discard');
    await assert.rejects(
      handle.result(),
      ({ cause }: { cause: { type: string } }) => cause.type === 'Discarded',
    );
  });

  /** Starts a workflow as a client in another language would, with JSON that JavaScript's JSON does not produce. */
  async function startRaw(messageId: string, json: string): Promise<void> {
    await inbox.client.workflowService.startWorkflowExecution({
      namespace: inbox.client.options.namespace,
      workflowId: messageId,
      workflowType: { name: 'handleCommand' },
      taskQueue: { name: inbox.taskQueue },
      requestId: messageId,
      input: { payloads: [jsonPayload(json)] },
    });
  }

  for (const id of ['   ', 'a\tb', 'x'.repeat(201), 'é'.repeat(101)]) {
    it(`is refused if its id is ${JSON.stringify(id).slice(0, 20)}`, async () => {
      const handle = await inbox.start(id, { commandType: 'Anything', payload: 1 });
      await assert.rejects(handle.result(), ({ cause }: { cause: { type: string } }) => {
        assert.equal(cause.type, 'InvalidEnvelope');
        return true;
      });
      assert.equal(await inbox.entry(id), null);
    });
  }
});
