import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../../../src/commands/message-validation.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { checkEvent, maxEventPayloadBytes } from '../../../src/attempts/event-limits.ts';
import { defaultSubject, headerValue } from '../../../src/outbox/publishers/nats-subject.ts';
import type { PublishedEvent } from '../../../src/core/published-event.ts';
import type { StoredEvent } from '../../../src/store/entries.ts';

const event = (parts: Partial<StoredEvent>): StoredEvent => ({
  aggregatetype: 'account',
  aggregateid: 'a',
  type: 'Happened',
  payload: {},
  metadata: {},
  ...parts,
});
/** Text that has this many bytes as JSON. */
const text = (bytes: number) => 'x'.repeat(bytes - 2);
const MAX_PAYLOAD = DEFAULT_MAX_PAYLOAD_BYTES - 65_536;

const check = (parts: Partial<StoredEvent>) => checkEvent(event(parts), DEFAULT_MAX_PAYLOAD_BYTES);

describe('the limits for events', () => {
  for (const [field, largest, tooLarge] of [
    ['aggregateType', { aggregatetype: 'é'.repeat(60) }, { aggregatetype: 'é'.repeat(61) }],
    ['aggregateId', { aggregateid: 'x'.repeat(255) }, { aggregateid: 'x'.repeat(256) }],
    ['type', { type: 'x'.repeat(120) }, { type: 'x'.repeat(121) }],
    ['metadata', { metadata: { n: text(16_384 - 6) } }, { metadata: { n: text(16_384 - 5) } }],
    ['payload', { payload: text(MAX_PAYLOAD) }, { payload: text(MAX_PAYLOAD + 1) }],
  ] as const) {
    it(`allow the largest ${field}, and name the field when it is too large`, () => {
      check(largest);
      assert.throws(
        () => check(tooLarge),
        (error) =>
          error instanceof InvalidMessageError && error.field === field && /the limit is/.test(error.message),
      );
    });
  }

  it('leave room for headers within the limit for messages, and change with that limit', () => {
    assert.deepEqual(
      [100_000, 1_048_576, 4_000_000].map(maxEventPayloadBytes),
      [100_000, 983_040, 3_934_464],
    );
  });

  it('keep the largest event within the limits of common brokers', () => {
    const worst = { aggregateType: '"'.repeat(120), type: '"'.repeat(120) } as PublishedEvent;
    assert.ok(
      Buffer.byteLength(`inbox.${worst.aggregateType}.${worst.type}`) <= 255,
      'routing key of RabbitMQ',
    );
    assert.ok(`outbox.event.${worst.aggregateType}`.length <= 249, 'topic name of Kafka');
    assert.ok(Buffer.byteLength(defaultSubject(worst)) <= 2_048, 'control line of NATS');
    const metadata = JSON.stringify({ n: 'ü'.repeat((16_384 - 8) / 2) });
    checkEvent(event({ metadata: JSON.parse(metadata) }), DEFAULT_MAX_PAYLOAD_BYTES);
    const headers = [metadata, 'ü'.repeat(127), 'ü'.repeat(100), 'ü'.repeat(255)].map(headerValue).join('');
    assert.ok(headers.length + 2_000 < 65_536, `headers for JetStream: ${headers.length} bytes`);
    assert.ok(MAX_PAYLOAD + 65_536 <= 1_048_576, 'message of NATS');
  });
});
