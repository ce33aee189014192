/** A trace continues in the headers of the messages that the NATS publisher sends. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { natsPublisher } from '../../../src/outbox/publishers/nats.ts';
import type { NatsPublisher } from '../../../src/outbox/publishers/nats.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startNats } from '../../support/nats.ts';
import type { TestNats } from '../../support/nats.ts';
import { startRelay } from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { expressOrder } from '../../support/traced-commands.ts';
import { startTracing } from '../../support/traces.ts';
import type { Tracing } from '../../support/traces.ts';
import { eventually } from '../../support/wait.ts';

describe('the NATS publisher', () => {
  let tracing: Tracing;
  let nats: TestNats;
  let publisher: NatsPublisher;
  let fixture: TestInbox;
  let inbox: Inbox;
  let relay: TestRelay;

  before(async () => {
    tracing = await startTracing('orders');
    nats = await startNats();
    await nats.addStream({ name: 'ORDERS', subjects: ['inbox.>'] });
    publisher = await natsPublisher({ servers: nats.url, stream: 'ORDERS' });
    fixture = await createTestInbox();
    await fixture.startWorker([expressOrder]);
    inbox = await createInbox({ pool: fixture.pool });
    relay = startRelay({
      databaseUrl: fixture.database.url,
      publish: (events, signal) => publisher.publish(events, signal),
    });
  });
  after(async () => {
    await relay.stop();
    await publisher.close();
    await inbox.close();
    await fixture.close();
    await nats.close();
    await tracing.close();
  });

  it('sets the header traceparent, and has a span for the event in the trace of its command', async () => {
    const messageId = fixture.id('published');
    const traceId = await tracing.request(() => inbox.send(expressOrder, { messageId, payload: {} }));
    const [message] = await eventually('the event is in the stream', async () => {
      const messages = await nats.read('ORDERS');
      return messages.length > 0 && messages;
    });
    const traceparent = message!.headers?.get('traceparent') ?? '';
    const [, inHeader, spanInHeader] = traceparent.split('-');
    assert.equal(inHeader, traceId);
    assert.equal(message!.headers?.has('Inbox-Metadata'), false);
    const [handler] = await tracing.spans('the handler', ({ spanId }) => spanId === spanInHeader);
    assert.equal(handler?.name, 'handler');
    const [published] = await tracing.spans('the publishing', ({ name }) => name === 'send order');
    assert.equal(published?.traceId, traceId);
    assert.equal(published?.attributes['inbox.event_type'], 'Placed');
    assert.deepEqual(published?.links, [{ traceId, spanId: spanInHeader }]);
  });
});
