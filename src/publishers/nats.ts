/**
 * Publishes to NATS JetStream. Needs `@nats-io/transport-node` and `@nats-io/jetstream`.
 *
 * @module
 */
import type { JetStreamClient } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { PublishError } from '../errors.ts';
import type { PublishedEvent, Publisher } from '../publisher.ts';
import { Connections, loadLibraries } from './nats-connection.ts';
import type { Libraries, NatsConnectionChoice } from './nats-connection.ts';
import { defaultSubject, headerValue } from './nats-subject.ts';

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
      try {
        await publishAll(libraries, connection, events, options, signal);
      } catch (error) {
        // What it holds back for a broker that is away would arrive after its repeat.
        await connections.drop();
        throw error;
      }
    },
    close: () => connections.drop(),
  };
}

/**
 * The events of one aggregate go one after the other, each when the one before is stored: were they all under way at
 * once, one could fail and the next be taken. Aggregates go side by side.
 */
async function publishAll(
  libraries: Libraries,
  connection: NatsConnection,
  events: readonly PublishedEvent[],
  options: NatsPublisherOptions,
  signal: AbortSignal,
): Promise<void> {
  const client = libraries.jetstream(connection, { timeout: ACK_TIMEOUT_MS });
  const aggregates = new Map<string, PublishedEvent[]>();
  for (const event of events) {
    const key = JSON.stringify([event.aggregateType, event.aggregateId]);
    const before = aggregates.get(key);
    if (before) before.push(event);
    else aggregates.set(key, [event]);
  }
  let failed = false;
  const outcomes = await Promise.allSettled(
    [...aggregates.values()].map(async (own) => {
      for (const event of own) {
        if (failed) return;
        try {
          signal.throwIfAborted();
          await publishOne(libraries, client, event, options);
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    }),
  );
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure) throw failure.reason;
}

async function publishOne(
  libraries: Libraries,
  client: JetStreamClient,
  event: PublishedEvent,
  { subject: subjectOf = defaultSubject, stream }: NatsPublisherOptions,
): Promise<void> {
  const subject = subjectOf(event);
  try {
    await client.publish(subject, JSON.stringify(event.payload), {
      msgID: event.id,
      headers: describe(libraries, event),
      ...(stream === undefined ? {} : { expect: { streamName: stream } }),
    });
  } catch (error) {
    throw explain(libraries, error, event, subject);
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

/** In words that may be logged, where the error is one of NATS: it knows nothing of the payload. */
function explain(
  { errors, JetStreamApiError }: Libraries,
  error: unknown,
  event: PublishedEvent,
  subject: string,
): unknown {
  const refuse = (problem: string) => new PublishError(`event ${event.id}: ${problem}`, { cause: error });
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof errors.RequestError && cause.isNoResponders()) {
    return refuse(`no JetStream stream takes the subject ${subject}; \`nats stream add\` makes one`);
  }
  if (error instanceof errors.InvalidArgumentError) {
    return refuse(
      `NATS refuses it: ${error.message}; max_payload of the server must be above that of the inbox`,
    );
  }
  if (error instanceof errors.TimeoutError) return refuse(`not acknowledged within ${ACK_TIMEOUT_MS} ms`);
  if (error instanceof JetStreamApiError) return refuse(`JetStream refuses it: ${error.message}`);
  return error;
}
