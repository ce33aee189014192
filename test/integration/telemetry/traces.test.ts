/** One trace covers a request, its send, the attempt, its statements, the command it sends and the event it publishes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { commandEndpoint } from '../../../src/http/command-endpoint.ts';
import { replay } from '../../../src/operations/index.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { message } from '../../../src/commands/message.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { startCommand } from '../../../src/temporal/client-commands.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import type { ReceivedSpan } from '../../support/otlp.ts';
import { startRelay } from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import {
  CANARY,
  expressOrder,
  preparedOrder,
  recordedOrder,
  TRACED_COMMANDS,
  workflowOrder,
} from '../../support/traced-commands.ts';
import { exportTo, startTracing } from '../../support/traces.ts';
import type { Tracing } from '../../support/traces.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';

const ORDERS = { workflow: workflowOrder, express: expressOrder, recorded: recordedOrder };

const indent = (lines: readonly string[], depth: number) => lines.map((line) => '  '.repeat(depth) + line);

/** The tree of an attempt that succeeds. */
const processed = (type: string) => [
  `process ${type} [consumer]`,
  '  commit [internal]',
  '  handler [internal]',
  '    SELECT [client]',
  '    send PackParcel [producer]',
  '      process PackParcel [consumer]',
  '        commit [internal]',
  '        handler [internal]',
  '    send order [producer]',
];

const REQUEST = 'POST /orders [server]';
/** The tree of a request that sends one command. */
const sent = (type: string) => [
  REQUEST,
  ...indent([`send ${type} [producer]`, ...indent(processed(type), 1)], 1),
];

const ofMessage = (messageId: string) => (span: ReceivedSpan) =>
  span.attributes['messaging.message.id'] === messageId;

/** A context as a client in another language sends it. */
const remote = () => {
  const traceId = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex');
  return { traceId, traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
};

const json = (value: unknown) => ({
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from(JSON.stringify(value)),
});

describe('a trace', () => {
  let tracing: Tracing;
  let fixture: TestInbox;
  let inbox: Inbox;
  let relay: TestRelay;
  const published: { messageId: string; traceparent: unknown }[] = [];

  before(async () => {
    tracing = await startTracing('orders');
    fixture = await createTestInbox();
    await fixture.startWorker(TRACED_COMMANDS);
    inbox = await createInbox({ pool: fixture.pool });
    relay = startRelay({
      databaseUrl: fixture.database.url,
      async publish(events) {
        for (const { messageId, metadata } of events)
          published.push({ messageId, traceparent: metadata['traceparent'] });
      },
    });
  });
  after(async () => {
    await inbox.close();
    await relay.stop();
    await fixture.close();
    await tracing.close();
  });

  for (const [mode, command] of Object.entries(ORDERS)) {
    it(`covers a command in mode ${mode}, from the request to the published event`, async () => {
      const messageId = fixture.id(`mode-${mode}`);
      const options = { messageId, correlationId: 'flow-1', causationId: 'click-1', payload: {} };
      const traceId = await tracing.request(() => inbox.send(command, options));
      await tracing.isTrace(traceId, sent(command.type));
      const event = await eventually('the event is published', () =>
        published.find((each) => each.messageId === messageId),
      );
      assert.match(String(event.traceparent), new RegExp(`^00-${traceId}-`));
    });
  }

  const ways: Record<string, (messageId: string) => Promise<unknown>> = {
    'send in a transaction': (messageId) =>
      withTransaction(fixture.pool, (tx) => inbox.send(expressOrder, { messageId, payload: {} }, { tx })),
    'send by name': (messageId) => inbox.send({ type: expressOrder.type, messageId, payload: {} }),
    'a list with one message': (messageId) =>
      inbox.sendMany([message(expressOrder, { messageId, payload: {} })]),
    execute: (messageId) => inbox.execute(expressOrder, { messageId, payload: {} }),
    'a Temporal client': (messageId) =>
      startCommand(
        fixture.client,
        expressOrder,
        { messageId, payload: {} },
        { taskQueue: fixture.taskQueue },
      ),
  };
  for (const [way, send] of Object.entries(ways)) {
    it(`continues from ${way}`, async () => {
      const traceId = await tracing.request(() => send(fixture.id(`way ${way}`)));
      await tracing.isTrace(traceId, sent(expressOrder.type));
    });
  }

  it('has a span for each message of a list, and one for the send', async () => {
    const messages = ['a', 'b'].map((name) =>
      message(preparedOrder, { messageId: fixture.id(`list-${name}`), payload: {} }),
    );
    const traceId = await tracing.request(() => inbox.sendMany(messages));
    const each = [
      'create PreparedOrder [producer]',
      '  process PreparedOrder [consumer]',
      '    commit [internal]',
      '    handler [internal]',
      '    prepare [internal]',
    ];
    await tracing.isTrace(traceId, [
      REQUEST,
      ...indent([...each, ...each, 'send PreparedOrder [client]'], 1),
    ]);
    const [send] = await tracing.spans(
      'the send',
      ({ traceId: id, kind }) => id === traceId && kind === 'client',
    );
    assert.equal(send?.attributes['messaging.batch.message_count'], 2);
    assert.equal(send?.links.length, 2);
  });

  it('continues the trace of an SQL sender', async () => {
    const { traceId, traceparent } = remote();
    await fixture.pool.query(
      `select inbox.send(message_id => $1, command_type => $2, payload => '{}', metadata => $3)`,
      [fixture.id('sql'), expressOrder.type, JSON.stringify({ traceparent })],
    );
    await tracing.isTrace(traceId, processed(expressOrder.type));
  });

  it('continues the trace of an HTTP client, if nothing else has read its headers', async () => {
    const { traceId, traceparent } = remote();
    const endpoint = commandEndpoint({ inbox, command: expressOrder, messageId: (key) => fixture.id(key) });
    const headers = { 'idempotency-key': '"http"', 'content-type': 'application/json', traceparent };
    const request = new Request('http://localhost/orders', { method: 'POST', headers, body: '{}' });
    assert.equal((await endpoint(request)).status, 202);
    await tracing.isTrace(
      traceId,
      sent(expressOrder.type)
        .slice(1)
        .map((line) => line.slice(2)),
    );
  });

  it('continues the trace of a Temporal client with a tracing interceptor, in any language', async () => {
    const { traceId, traceparent } = remote();
    const workflowId = fixture.id('interceptor');
    await fixture.client.workflowService.startWorkflowExecution({
      namespace: fixture.client.options.namespace,
      requestId: workflowId,
      workflowId,
      workflowType: { name: workflowOrder.type },
      taskQueue: { name: fixture.taskQueue },
      input: { payloads: [json({})] },
      header: { fields: { '_tracer-data': json({ traceparent }) } },
    });
    await tracing.isTrace(traceId, processed(workflowOrder.type));
  });

  it('is the one that the sender chose, if the message has one already', async () => {
    const { traceId, traceparent } = remote();
    const messageId = fixture.id('chosen');
    await tracing.request(() =>
      inbox.send(expressOrder, { messageId, payload: {}, metadata: { traceparent, tenant: 'a' } }),
    );
    await tracing.isTrace(traceId, processed(expressOrder.type));
    const entry = await fixture.entry(messageId);
    assert.deepEqual(entry?.metadata, { traceparent, tenant: 'a' });
  });

  for (const [mode, command] of Object.entries(ORDERS)) {
    it(`begins anew with each retry in mode ${mode}, with a link to the send`, async () => {
      const messageId = fixture.id(`retried-${mode}`);
      const traceId = await tracing.request(() =>
        inbox.send(command, { messageId, payload: { failures: 2 } }),
      );
      const attempts = await tracing.spans(
        'three attempts',
        (span) => ofMessage(messageId)(span) && span.name === `process ${command.type}`,
        3,
      );
      const sorted = attempts.toSorted(
        (a, b) => Number(a.attributes['inbox.attempt']) - Number(b.attributes['inbox.attempt']),
      );
      assert.deepEqual(
        sorted.map(({ attributes }) => attributes['inbox.outcome']),
        ['retry', 'retry', 'completed'],
      );
      const [send] = await tracing.spans(
        'the send',
        (span) => span.name === `send ${command.type}` && ofMessage(messageId)(span),
      );
      const [first, ...retries] = sorted;
      assert.equal(first?.traceId, traceId);
      for (const retry of retries) {
        assert.equal(retry.parentSpanId, '');
        assert.notEqual(retry.traceId, traceId);
        assert.deepEqual(retry.links, [{ traceId, spanId: send!.spanId }]);
      }
    });
  }

  it('begins anew with a replay, with a link to the send', async () => {
    const messageId = fixture.id('replayed');
    const traceId = await tracing.request(() =>
      inbox.send(workflowOrder, { messageId, payload: { dies: true } }),
    );
    await fixture.reaches(messageId, 'DeadLetter');
    const dead = await tracing.spans(
      'the attempt that failed',
      (span) => ofMessage(messageId)(span) && span.attributes['inbox.outcome'] === 'dead',
    );
    assert.equal(dead[0]?.attributes['error.type'], 'CardExpired');
    assert.equal(dead[0]?.status.code, 'error');
    const [letter] = (
      await fixture.pool.query<{ failure_group: string }>(
        'select failure_group from inbox.dead_letters where message_id = $1',
        [messageId],
      )
    ).rows;
    assert.equal(dead[0]?.attributes['inbox.failure_group'], letter?.failure_group);
    await replay({ pool: fixture.pool, client: fixture.client, taskQueue: fixture.taskQueue }, messageId, {
      actor: 'ann',
    });
    const [again] = await tracing.spans(
      'the replay',
      (span) => ofMessage(messageId)(span) && span.attributes['inbox.generation'] === 1,
    );
    assert.equal(again?.parentSpanId, '');
    assert.equal(again?.links[0]?.traceId, traceId);
    assert.equal(again?.attributes['inbox.outcome'], 'completed');
  });

  it('has the attributes of the messaging conventions', async () => {
    const messageId = fixture.id('attributes');
    const options = { messageId, correlationId: 'flow-9', causationId: 'click-9', payload: {} };
    const traceId = await tracing.request(() => inbox.send(workflowOrder, options));
    await tracing.isTrace(traceId, sent(workflowOrder.type));
    const own = tracing.receiver.spans.filter(
      (span) => span.traceId === traceId && ofMessage(messageId)(span),
    );
    const attributesOf = (name: string) => own.find((span) => span.name === name)?.attributes;
    const common = {
      'messaging.system': 'temporal_inbox',
      'messaging.destination.name': 'WorkflowOrder',
      'messaging.message.id': messageId,
      'messaging.message.conversation_id': 'flow-9',
      'inbox.causation_id': 'click-9',
    };
    assert.deepEqual(attributesOf('send WorkflowOrder'), {
      ...common,
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
    });
    assert.deepEqual(attributesOf('process WorkflowOrder'), {
      ...common,
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.consumer.group.name': fixture.taskQueue,
      'inbox.attempt': 1,
      'inbox.generation': 0,
      'inbox.mode': 'workflow',
      'inbox.outcome': 'completed',
    });
    assert.equal(own[0]?.scope.name, 'temporal-inbox');
    assert.equal(own[0]?.scope.schemaUrl, 'https://opentelemetry.io/schemas/1.44.0');
    assert.equal(own[0]?.service, 'orders');
  });

  it('continues in another process, which may export it itself', async () => {
    const target = { database: fixture.database, taskQueue: `${fixture.taskQueue}-elsewhere` };
    const env = { ...exportTo(tracing.receiver.url), OTEL_SERVICE_NAME: 'shipping' };
    const worker = await startWorkerProcess(target, './shipping-commands.js', env);
    try {
      const messageId = fixture.id('elsewhere');
      const traceId = await tracing.request(() => inbox.send({ type: 'ShipParcel', messageId, payload: {} }));
      await tracing.isTrace(traceId, [
        REQUEST,
        ...indent(
          [
            'send ShipParcel [producer]',
            '  process ShipParcel [consumer]',
            '    commit [internal]',
            '    handler [internal]',
          ],
          1,
        ),
      ]);
      const services = new Map(
        tracing.receiver.spans
          .filter((span) => span.traceId === traceId)
          .map(({ name, service }) => [name, service]),
      );
      assert.equal(services.get('send ShipParcel'), 'orders');
      assert.equal(services.get('process ShipParcel'), 'shipping');
    } finally {
      worker.kill('SIGTERM');
      await worker.ended;
    }
  });

  it('contains no payload, result, parameter or error message', () => {
    const text = JSON.stringify(tracing.receiver.spans, (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    assert.ok(text.includes('CardExpired'));
    assert.ok(
      !text.includes(CANARY),
      text.slice(Math.max(0, text.indexOf(CANARY) - 300), text.indexOf(CANARY) + 50),
    );
  });
});
