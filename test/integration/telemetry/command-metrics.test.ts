/** The metrics of sends and attempts, each with the events that change it and those that do not. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { startTelemetry } from '../../../src/cli/telemetry/sdk.ts';
import type { Telemetry } from '../../../src/cli/telemetry/sdk.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { IdempotencyConflictError, UnrecoverableError } from '../../../src/core/errors.ts';
import { replay } from '../../../src/operations/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { parseSamples, sumOf } from '../../support/samples.ts';
import type { Sample } from '../../support/samples.ts';
import { eventually } from '../../support/wait.ts';

const schema = z.object({ failures: z.int().default(0), dies: z.boolean().default(false) });

/** A type of its own for each test, so that no test changes the figures of another. */
const commandOf = (type: string, express = true) =>
  defineCommand({
    type,
    schema,
    express,
    retry: { initialInterval: '20ms', maximumInterval: '20ms' },
    async handle({ payload, attempt, generation }) {
      if (payload.dies && generation === 0) throw new UnrecoverableError('Dies');
      if (generation === 0 && attempt <= payload.failures) throw new TypeError('fails');
    },
  });

const SENT = commandOf('Sent');
const REFUSED = commandOf('Refused');
const CONSUMED = commandOf('Consumed');
const PROCESSED = commandOf('Processed', false);
const ATTEMPTED = commandOf('Attempted', false);
const CRITICAL = commandOf('Critical');
/** Its retries come so late that only the test makes them due. */
const LATE = defineCommand({
  type: 'Late',
  schema,
  retry: { initialInterval: '1h' },
  async handle({ attempt }) {
    if (attempt === 1) throw new Error('fails once');
  },
});

const outcome = (label: string) => ({ type: 'Attempted', outcome: label });

describe('the metrics of commands', () => {
  let telemetry: Telemetry;
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    telemetry = await startTelemetry({ serveMetrics: true, env: {} }, createLog('error'));
    fixture = await createTestInbox();
    await fixture.startWorker([SENT, REFUSED, CONSUMED, PROCESSED, ATTEMPTED, CRITICAL, LATE]);
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
    await telemetry.shutdown();
  });

  const scrape = async (): Promise<Sample[]> => parseSamples((await telemetry.metrics())!);
  const read = async (name: string, labels: Record<string, string>) =>
    sumOf(await scrape(), name, labels) ?? 0;
  const reaches = (name: string, labels: Record<string, string>, expected: number) =>
    eventually(`${name} ${JSON.stringify(labels)} is ${expected}`, async () => {
      assert.equal(await read(name, labels), expected);
      return true;
    });

  async function run(
    command: typeof SENT,
    name: string,
    payload: z.input<typeof schema> = {},
    status: 'Completed' | 'DeadLetter' = 'Completed',
  ) {
    const messageId = fixture.id(name);
    await inbox.send(command, { messageId, payload });
    await fixture.reaches(messageId, status);
    return messageId;
  }

  it('messaging.client.sent.messages counts messages, not their attempts', async () => {
    const labels = {
      messaging_destination_name: 'Sent',
      messaging_operation_name: 'send',
      messaging_system: 'temporal_inbox',
    };
    const name = 'messaging_client_sent_messages_total';
    await run(SENT, 'sent', { failures: 1 });
    await reaches(name, labels, 1);
    await inbox.sendMany(
      [1, 2, 3].map((n) => ({ type: 'Sent', messageId: fixture.id(`many-${n}`), payload: {} })),
    );
    await reaches(name, labels, 4);
    await inbox.status(fixture.id('sent'));
    assert.equal(await read(name, labels), 4);
  });

  it('messaging.client.operation.duration has one measurement for each send, with the type of its error', async () => {
    const name = 'messaging_client_operation_duration_count';
    const type = { messaging_destination_name: 'Refused' };
    await run(REFUSED, 'refused');
    await reaches(name, type, 1);
    const other = { messageId: fixture.id('refused'), payload: { failures: 1 } };
    await assert.rejects(inbox.send(REFUSED, other), IdempotencyConflictError);
    await reaches(name, { ...type, error_type: 'IdempotencyConflictError' }, 1);
    await reaches(name, type, 2);
  });

  it('messaging.client.consumed.messages counts each attempt', async () => {
    await run(CONSUMED, 'consumed', { failures: 2 });
    await reaches('messaging_client_consumed_messages_total', { messaging_destination_name: 'Consumed' }, 3);
  });

  it('messaging.process.duration has one measurement for each attempt, with the type of its error', async () => {
    const name = 'messaging_process_duration_count';
    const type = {
      messaging_destination_name: 'Processed',
      messaging_consumer_group_name: fixture.taskQueue,
    };
    await run(PROCESSED, 'processed', { failures: 1 });
    await reaches(name, type, 2);
    await reaches(name, { ...type, error_type: 'TypeError' }, 1);
    const buckets = (await scrape()).filter(
      ({ name: bucket, labels }) =>
        bucket === 'messaging_process_duration_bucket' &&
        labels['messaging_destination_name'] === 'Processed',
    );
    const limits = new Set(buckets.map(({ labels }) => labels['le']));
    assert.deepEqual(
      [...limits],
      [
        '0.005',
        '0.01',
        '0.025',
        '0.05',
        '0.075',
        '0.1',
        '0.25',
        '0.5',
        '0.75',
        '1',
        '2.5',
        '5',
        '7.5',
        '10',
        '+Inf',
      ],
    );
  });

  it('inbox.attempts counts by outcome', async () => {
    const messageId = await run(ATTEMPTED, 'attempted', { failures: 2 });
    assert.ok(messageId);
    await reaches('inbox_attempts_total', outcome('retry'), 2);
    await reaches('inbox_attempts_total', outcome('completed'), 1);
    const dead = await run(ATTEMPTED, 'attempted-dead', { dies: true }, 'DeadLetter');
    await reaches('inbox_attempts_total', outcome('dead'), 1);
    await replay({ pool: fixture.pool, client: fixture.client, taskQueue: fixture.taskQueue }, dead, {
      actor: 'ann',
    });
    await reaches('inbox_attempts_total', outcome('completed'), 2);
    assert.equal(await read('inbox_attempts_total', outcome('dead')), 1);
  });

  it('inbox.critical_time measures completed commands, from their receipt', async () => {
    const type = { type: 'Critical' };
    await run(CRITICAL, 'critical-dead', { dies: true }, 'DeadLetter');
    const messageId = await run(CRITICAL, 'critical', { failures: 1 });
    await reaches('inbox_critical_time_count', type, 1);
    const entry = (await fixture.entry(messageId))!;
    const seconds = (entry.processedAt!.getTime() - entry.receivedAt.getTime()) / 1_000;
    const measured = await read('inbox_critical_time_sum', type);
    assert.ok(Math.abs(measured - seconds) < 5, `${measured} s measured, ${seconds} s in the table`);
  });

  it('inbox.reconciled counts missing workflows that were started again', async () => {
    assert.equal(await read('inbox_reconciled_total', {}), 0);
    const messageId = fixture.id('lost-workflow');
    await inbox.send(LATE, { messageId, payload: {} });
    await fixture.reaches(messageId, 'Failed');
    await fixture.client.workflow.getHandle(messageId).terminate('lost');
    await fixture.pool.query(
      `update inbox.entries set next_retry_at = now() - interval '1 minute', relayed_at = null where message_id = $1`,
      [messageId],
    );
    await fixture.reaches(messageId, 'Completed');
    await reaches('inbox_reconciled_total', {}, 1);
  });

  it('inbox.slots and inbox.pool are those of the worker', async () => {
    const samples = await scrape();
    const total = (kind: string) => sumOf(samples, 'inbox_slots', { kind, state: 'total' });
    assert.deepEqual(
      ['first', 'express', 'retry'].map((kind) => total(kind)),
      [32, 32, 16],
    );
    assert.ok((sumOf(samples, 'inbox_pool', { pool: 'records', state: 'open' }) ?? 0) > 0);
    // A slot is released a moment after its command was completed.
    await reaches('inbox_slots', { kind: 'first', state: 'used' }, 0);
    await reaches('inbox_slots', { kind: 'express', state: 'used' }, 0);
    await reaches('inbox_pool', { state: 'waiting' }, 0);
  });

  it('inbox.slots counts attempts that run', async () => {
    const blocked = await fixture.pool.connect();
    const messageId = fixture.id('holds-a-slot');
    try {
      await blocked.query('begin; lock table inbox.outbox in access exclusive mode');
      await inbox.send(CRITICAL, { messageId, payload: {} });
      await reaches('inbox_slots', { kind: 'express', state: 'used' }, 1);
    } finally {
      await blocked.query('rollback');
      blocked.release();
    }
    await fixture.reaches(messageId, 'Completed');
    await reaches('inbox_slots', { kind: 'express', state: 'used' }, 0);
  });
});
