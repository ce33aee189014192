/**
 * Limits for the parts of an event, so that common brokers accept it. Checked when a handler emits the event.
 *
 * | limit | reason |
 * | --- | --- |
 * | `aggregateType` and `type`: 120 bytes each | `inbox.<aggregateType>.<type>` fits into RabbitMQ's routing key of 255 bytes and NATS's control line of 4 KB, `outbox.event.<aggregateType>` into Kafka's topic name of 249 characters |
 * | `aggregateId`: 255 bytes | fits as a key or header of any broker; SQS and Service Bus group messages by at most 128 characters, so hash longer ids there |
 * | `metadata`: 16 KiB of JSON | JetStream accepts 64 KiB of headers, and percent-encoding makes text up to three times as long |
 * | `payload`: 64 KiB less than the payload of a message, 960 KiB by default | NATS, Kafka and SQS accept 1 MiB by default, including headers |
 *
 * Sources: https://docs.nats.io/running-a-nats-service/configuration (max_payload, max_control_line),
 * https://www.rabbitmq.com/docs/publishers (shortstr of AMQP 0-9-1), https://kafka.apache.org/documentation/#brokerconfigs_message.max.bytes,
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
 *
 * @module
 */
import { checkJson } from '../commands/message-validation.ts';
import { InvalidMessageError } from '../core/errors.ts';
import type { StoredEvent } from '../store/entries.ts';

const MAX_NAME_BYTES = 120;
const MAX_AGGREGATE_ID_BYTES = 255;
const MAX_METADATA_BYTES = 16_384;
const HEADER_BYTES = 65_536;
/** Subtracting the headers never lowers the payload limit below this: a smaller message leaves them enough room anyway. */
const MIN_PAYLOAD_LIMIT_BYTES = 983_040;

/**
 * Checks that the event is JSON and that common brokers accept it.
 *
 * @param maxPayloadBytes - the limit for messages
 * @throws InvalidMessageError that names the field
 */
export function checkEvent(event: StoredEvent, maxPayloadBytes: number): StoredEvent {
  checkJson(event, 'event', Number.POSITIVE_INFINITY);
  const { aggregatetype, aggregateid, type, metadata, payload } = event;
  checkBytes('aggregateType', aggregatetype, MAX_NAME_BYTES);
  checkBytes('type', type, MAX_NAME_BYTES);
  checkBytes('aggregateId', aggregateid, MAX_AGGREGATE_ID_BYTES);
  checkBytes('metadata', JSON.stringify(metadata), MAX_METADATA_BYTES);
  checkBytes('payload', JSON.stringify(payload), maxEventPayloadBytes(maxPayloadBytes));
  return event;
}

function checkBytes(field: string, text: string, limit: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= limit) return;
  const [found, most] = [bytes, limit].map((count) => count.toLocaleString('en-US'));
  throw new InvalidMessageError(
    field,
    `is ${found} bytes; the limit is ${most}, because brokers reject larger events`,
  );
}

/** The limit for an event's payload, in bytes of JSON in UTF-8, given the limit for messages. */
export function maxEventPayloadBytes(maxPayloadBytes: number): number {
  return Math.min(maxPayloadBytes, Math.max(maxPayloadBytes - HEADER_BYTES, MIN_PAYLOAD_LIMIT_BYTES));
}
