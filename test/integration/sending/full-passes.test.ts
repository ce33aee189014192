/**
 * Sends arbitrary JSON through every way in and through real handlers. All ways must agree on whether it is accepted and on
 * its fingerprint, and the value must stay the same in the handler, in the messages it sends, in its events and in its
 * result.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { sqlState } from '../../../src/platform/postgres.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { findInexactNumber } from '../../../src/core/json-text.ts';
import type { Json } from '../../../src/core/json.ts';
import { WORKFLOW_TYPE } from '../../../src/core/protocol.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { jsonTexts } from '../../support/json-texts.ts';
import { fc } from '../../support/random.ts';

const VALUES = 100;
const CONCURRENCY = 10;
const REFUSED = Symbol('refused');

const kept = defineCommand({ type: 'Kept', schema: z.unknown(), handle: () => null });
const echo = defineCommand({
  type: 'Echo',
  schema: z.unknown(),
  async handle({ payload, messageId, send, emit }) {
    await send({ messageId: `${messageId}-kept`, type: 'Kept', payload: payload as Json });
    emit({ aggregateType: 'echo', aggregateId: messageId, type: 'Echoed', payload: payload as Json });
    return { seen: JSON.stringify(payload), payload: payload as Json };
  },
});
const expressEcho = defineCommand({ ...echo, type: 'ExpressEcho', express: true });

describe('arbitrary JSON', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([echo, expressEcho, kept]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  type Outcome = Json | typeof REFUSED;

  async function sendInSql(messageId: string, type: string, payload: string): Promise<Outcome> {
    try {
      await fixture.pool.query('select inbox.send($1, $2, $3)', [messageId, type, payload]);
    } catch (error) {
      assert.ok(['IB002', '22P05', '22P02', '22003'].includes(sqlState(error) ?? ''), String(error));
      return REFUSED;
    }
    return (await fixture.reaches(messageId, 'Completed')).result;
  }

  async function inNode(messageId: string, type: string, payload: string): Promise<Outcome> {
    try {
      return await inbox.execute(
        { messageId, type, payload: JSON.parse(payload) as Json },
        { timeoutMs: 90_000 },
      );
    } catch (error) {
      assert.ok(error instanceof InvalidMessageError, String(error));
      return REFUSED;
    }
  }

  async function throughTemporal(workflowId: string, type: string, payload: string): Promise<Outcome> {
    const { client, taskQueue } = fixture;
    await client.workflowService.startWorkflowExecution({
      namespace: client.options.namespace,
      workflowId,
      workflowType: { name: WORKFLOW_TYPE },
      taskQueue: { name: taskQueue },
      input: {
        payloads: [
          {
            metadata: { encoding: Buffer.from('json/plain') },
            data: Buffer.from(`{"commandType":"${type}","payload":${payload}}`),
          },
        ],
      },
      requestId: workflowId,
    });
    try {
      return (await client.workflow.getHandle(workflowId).result()) as Json;
    } catch (error) {
      const cause = error instanceof WorkflowFailedError ? error.cause : error;
      assert.ok(cause instanceof ApplicationFailure && cause.type === 'InvalidEnvelope', String(cause));
      return REFUSED;
    }
  }

  async function stored(messageId: string) {
    const [row] = await rows<{ fingerprint: string; same: boolean }>(
      fixture.pool,
      `select encode(e.fingerprint, 'hex') as fingerprint,
         k.payload = e.payload and o.payload = e.payload and e.result -> 'payload' = e.payload as same
       from inbox.entries e join inbox.entries k on k.message_id = e.message_id || '-kept'
         join inbox.outbox o on o.message_id = e.message_id
       where e.message_id = $1`,
      [messageId],
    );
    return row;
  }

  async function pass(index: number, payload: string): Promise<boolean> {
    const type = index % 2 === 0 ? 'Echo' : 'ExpressEcho';
    const id = (way: string) => fixture.id(`${way}-${index}`);
    const ways = ['sql', 'temporal'];
    const outcomes = [
      await sendInSql(id('sql'), type, payload),
      await throughTemporal(id('temporal'), type, payload),
    ];
    // If parsing changes a number, the JavaScript value no longer corresponds to the text.
    if (findInexactNumber(payload) === null) {
      ways.push('node');
      outcomes.push(await inNode(id('node'), type, payload));
    }
    for (const outcome of outcomes) assert.deepEqual(outcome, outcomes[0], payload);
    if (outcomes[0] === REFUSED) return false;
    const [first, ...others] = await Promise.all(ways.map((way) => stored(id(way))));
    assert.equal(first?.same, true, payload);
    for (const other of others) assert.deepEqual(other, first, payload);
    return true;
  }

  it('is accepted with the longest possible ids by every way in', async () => {
    const correlationId = '😀'.repeat(255);
    const id = (way: string) => `${'😀'.repeat(45)}${way}-${fixture.id('x')}`.slice(0, 120);
    await fixture.pool.query("select inbox.send($1, 'Echo', '1', $2, $2)", [id('s'), correlationId]);
    const envelope = { commandType: 'Echo', payload: 1, correlationId, causationId: correlationId };
    await fixture.start(id('t'), envelope);
    const sent = { messageId: id('n'), type: 'Echo', payload: 1, correlationId, causationId: correlationId };
    await inbox.send(sent);
    for (const way of ['s', 't', 'n']) {
      const entry = await fixture.reaches(id(way), 'Completed');
      assert.equal(entry.correlationId, correlationId);
    }
    await assert.rejects(inbox.send({ ...sent, correlationId: `${correlationId}a` }), InvalidMessageError);
  });

  it('gets the same answer and keeps its value on every way in', { timeout: 240_000 }, async () => {
    const values = fc.sample(jsonTexts, VALUES);
    let accepted = 0;
    for (let from = 0; from < VALUES; from += CONCURRENCY) {
      const some = values.slice(from, from + CONCURRENCY);
      const passes = await Promise.all(some.map((payload, index) => pass(from + index, payload)));
      accepted += passes.filter(Boolean).length;
    }
    assert.ok(accepted > VALUES / 10 && accepted < VALUES * 0.9, `${accepted} of ${VALUES} were accepted`);
  });
});
