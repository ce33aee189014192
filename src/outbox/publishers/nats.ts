/**
 * Publishes to NATS JetStream. Needs `@nats-io/transport-node` and `@nats-io/jetstream`.
 *
 * @module temporal-inbox/nats
 */
import type { JetStreamClient } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import type { PublishedEvent, Publisher } from '../../core/published-event.ts';
import { Connections, loadLibraries } from './nats-connection.ts';
import type { Libraries, NatsConnectionChoice } from './nats-connection.ts';
import { classifyError, toPublishError } from './nats-failure.ts';
import type { NatsFailure } from './nats-failure.ts';
import { defaultSubject, headerValue, subjectProblem } from './nats-subject.ts';

export { subjectToken } from './nats-subject.ts';

export interface NatsPublisherOptions extends NatsConnectionChoice {
  /**
   * The subject of an event. Default `inbox.<aggregatetype>.<type>`. Events of one aggregate don't need the same subject.
   */
  subject?: (event: PublishedEvent) => string;
  /** The stream that must store the events. If another stream with the same subjects gets them, publishing fails. */
  stream?: string;
}

export type NatsPublisher = Required<Publisher>;

const ACK_TIMEOUT_MS = 5_000;

/**
 * Creates a publisher. Each event becomes a message that has the event's id as `Nats-Msg-Id`, so that JetStream drops
 * repeats within the stream's duplicate window. Connects with the first batch, so that a broker that is down doesn't prevent
 * startup.
 *
 * @throws ConfigurationError if the NATS packages are not installed or the options are invalid
 * @example
 * const { publish, close } = await natsPublisher({ servers: 'nats://localhost:4222', stream: 'EVENTS' });
 * const relay = createOutboxRelay({ databaseUrl, publish });
 */
export async function natsPublisher(options: NatsPublisherOptions): Promise<NatsPublisher> {
  const libraries = await loadLibraries();
  const connections = new Connections(libraries, options);
  return {
    async publish(events, signal) {
      const connection = await connections.get();
      const { published, failed } = await publishAll(libraries, connection, events, options, signal);
      signal.throwIfAborted();
      if (published.length === events.length) return;
      const error = toPublishError(published, failed, connection.isClosed());
      // Messages that the connection still buffers would otherwise arrive after their retries.
      if (published.length === 0 && error.rejected.length === 0) await connections.drop(connection);
      throw error;
    },
    close: () => connections.drop(),
  };
}

interface Attempted {
  published: string[];
  failed: NatsFailure[];
}

/**
 * Publishes the events of one aggregate one after the other, each after the previous one is stored: if they were sent at the
 * same time, one could fail while a later one is stored. Aggregates are published concurrently; one that fails doesn't stop
 * the others.
 */
async function publishAll(
  libraries: Libraries,
  connection: NatsConnection,
  events: readonly PublishedEvent[],
  options: NatsPublisherOptions,
  signal: AbortSignal,
): Promise<Attempted> {
  const client = libraries.jetstream(connection, { timeout: ACK_TIMEOUT_MS });
  const aggregates = new Map<string, PublishedEvent[]>();
  for (const event of events) {
    const key = JSON.stringify([event.aggregateType, event.aggregateId]);
    const others = aggregates.get(key);
    if (others) others.push(event);
    else aggregates.set(key, [event]);
  }
  const attempted: Attempted = { published: [], failed: [] };
  await Promise.all(
    [...aggregates.values()].map(async (aggregateEvents) => {
      for (const event of aggregateEvents) {
        if (signal.aborted || connection.isClosed()) return;
        const failure = await publishOne(libraries, client, event, options);
        if (failure) {
          attempted.failed.push(failure);
          return;
        }
        attempted.published.push(event.id);
      }
    }),
  );
  return attempted;
}

/** @returns null if JetStream stored the event */
async function publishOne(
  libraries: Libraries,
  client: JetStreamClient,
  event: PublishedEvent,
  { subject: subjectOf = defaultSubject, stream }: NatsPublisherOptions,
): Promise<NatsFailure | null> {
  let subject = '';
  try {
    subject = subjectOf(event);
    const problem = subjectProblem(subject);
    if (problem) return { event, kind: 'rejected', problem };
    await client.publish(subject, JSON.stringify(event.payload), {
      msgID: event.id,
      headers: headersOf(libraries, event),
      ...(stream === undefined ? {} : { expect: { streamName: stream } }),
    });
    return null;
  } catch (error) {
    return { event, ...classifyError(libraries, error, subject, ACK_TIMEOUT_MS) };
  }
}

/** Everything except the payload, which is the message's body. */
function headersOf({ headers }: Libraries, event: PublishedEvent): MsgHdrs {
  const all = headers();
  const set = (name: string, value: string | null) => value === null || all.set(name, headerValue(value));
  set('Inbox-Aggregate-Type', event.aggregateType);
  set('Inbox-Aggregate-Id', event.aggregateId);
  set('Inbox-Event-Type', event.type);
  set('Inbox-Position', String(event.position));
  set('Inbox-Created-At', event.createdAt.toISOString());
  set('Inbox-Message-Id', event.messageId);
  set('Inbox-Correlation-Id', event.correlationId);
  const { traceparent, tracestate, ...metadata } = event.metadata;
  // Under their standard names, so that the tracing of any consumer finds them.
  if (typeof traceparent === 'string') set('traceparent', traceparent);
  if (typeof tracestate === 'string') set('tracestate', tracestate);
  if (Object.keys(metadata).length > 0) set('Inbox-Metadata', JSON.stringify(metadata));
  return all;
}
