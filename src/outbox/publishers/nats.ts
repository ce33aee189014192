/**
 * Publishes to NATS JetStream. Needs `@nats-io/transport-node` and `@nats-io/jetstream`.
 *
 * @module
 */
import type { JetStreamClient } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import type { PublishedEvent, Publisher } from '../../core/published-event.ts';
import { Connections, loadLibraries } from './nats-connection.ts';
import type { Libraries, NatsConnectionChoice } from './nats-connection.ts';
import { explain, summarize } from './nats-failure.ts';
import type { NatsFailure } from './nats-failure.ts';
import { defaultSubject, headerValue, subjectProblem } from './nats-subject.ts';

export { subjectToken } from './nats-subject.ts';

export interface NatsPublisherOptions extends NatsConnectionChoice {
  /** Default `inbox.<aggregatetype>.<type>`. Events of one aggregate need not share a subject. */
  subject?: (event: PublishedEvent) => string;
  /** The stream that must take the events; another one with the same subjects is refused. */
  stream?: string;
}

export type NatsPublisher = Required<Publisher>;

const ACK_TIMEOUT_MS = 5_000;

/**
 * Each event is a message whose id (`Nats-Msg-Id`) is that of the event, so that JetStream drops what comes again within
 * the stream's duplicate window. Connects with the first batch, so that a broker that is away stops nobody.
 *
 * @throws ConfigurationError when the packages of NATS are not installed, or there is no server to connect to
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
      const error = summarize(published, failed, connection.isClosed());
      // What the connection holds back for a broker that is away would arrive after its repeat.
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
 * The events of one aggregate go one after the other, each when the one before is stored: were they all under way at
 * once, one could fail and the next be stored. Aggregates go side by side, and one that fails does not stop the others.
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
    const before = aggregates.get(key);
    if (before) before.push(event);
    else aggregates.set(key, [event]);
  }
  const attempted: Attempted = { published: [], failed: [] };
  await Promise.all(
    [...aggregates.values()].map(async (own) => {
      for (const event of own) {
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

/** Null when it is stored. */
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
      headers: describe(libraries, event),
      ...(stream === undefined ? {} : { expect: { streamName: stream } }),
    });
    return null;
  } catch (error) {
    return { event, ...explain(libraries, error, subject, ACK_TIMEOUT_MS) };
  }
}

/** All but the payload, which is the message's body as it is. */
function describe({ headers }: Libraries, event: PublishedEvent): MsgHdrs {
  const all = headers();
  const set = (name: string, value: string | null) => value === null || all.set(name, headerValue(value));
  set('Inbox-Aggregate-Type', event.aggregateType);
  set('Inbox-Aggregate-Id', event.aggregateId);
  set('Inbox-Event-Type', event.type);
  set('Inbox-Position', String(event.position));
  set('Inbox-Created-At', event.createdAt.toISOString());
  set('Inbox-Message-Id', event.messageId);
  set('Inbox-Correlation-Id', event.correlationId);
  if (Object.keys(event.metadata).length > 0) set('Inbox-Metadata', JSON.stringify(event.metadata));
  return all;
}
