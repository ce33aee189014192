/**
 * Spans and metrics of sends. The context of a message's span is stored with the message, so that its attempts continue the
 * trace.
 *
 * @module
 */
import { context, SpanKind } from '@opentelemetry/api';
import type { SpanContext, Tracer } from '@opentelemetry/api';
import { errorLabel } from './bounded-labels.ts';
import { sendMeter } from './command-meters.ts';
import { ATTRIBUTE, MESSAGING_SYSTEM } from './conventions.ts';
import { findInstruments } from './instruments.ts';
import { errorTypeOf, inSpan, messageAttributes, sendingContext, withoutStatements } from './spans.ts';
import type { TracedMessage } from './spans.ts';
import { withTraceContext } from './trace-context.ts';
import { findTracer } from './tracer.ts';

/** Sends one message, in a span of its own. `send` gets the message with the span's context in its metadata. */
export async function tracedSend<Message extends TracedMessage, T>(
  message: Message,
  send: (message: Message) => Promise<T>,
): Promise<T> {
  const tracer = findTracer();
  if (!tracer) return measured([message], () => send(message));
  const parent = sendingContext(message.metadata);
  const span = tracer.startSpan(
    `send ${message.commandType}`,
    { kind: SpanKind.PRODUCER, attributes: messageAttributes('send', message) },
    parent,
  );
  const metadata = withTraceContext(message.metadata, span.spanContext());
  const traced = metadata === message.metadata ? message : { ...message, metadata };
  return measured([message], () => inSpan(span, withoutStatements(parent), () => send(traced)));
}

/** Sends several messages: a `create` span for each, and one `send` span for all of them, with links to the others. */
export async function tracedSends<Message extends TracedMessage, T>(
  messages: readonly Message[],
  send: (messages: readonly Message[]) => Promise<T>,
): Promise<T> {
  const [first] = messages;
  if (first === undefined) return send(messages);
  if (messages.length === 1) return tracedSend(first, (message) => send([message]));
  const tracer = findTracer();
  if (!tracer) return measured(messages, () => send(messages));
  const created = createSpans(tracer, messages);
  const parent = context.active();
  const type = commonType(messages);
  const attributes = {
    [ATTRIBUTE.system]: MESSAGING_SYSTEM,
    [ATTRIBUTE.operationName]: 'send',
    [ATTRIBUTE.operationType]: 'send',
    [ATTRIBUTE.batchCount]: messages.length,
    ...(type !== null && { [ATTRIBUTE.destination]: type }),
  };
  const links = created.map((each) => ({ context: each.context }));
  const name = type === null ? 'send' : `send ${type}`;
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes, links }, parent);
  return measured(messages, () =>
    inSpan(span, withoutStatements(parent), () => send(created.map(({ message }) => message))),
  );
}

/** Each message gets its own context, even if it is not sampled. */
function createSpans<Message extends TracedMessage>(
  tracer: Tracer,
  messages: readonly Message[],
): { message: Message; context: SpanContext }[] {
  return messages.map((message) => {
    const attributes = messageAttributes('create', message);
    const span = tracer.startSpan(
      `create ${message.commandType}`,
      { kind: SpanKind.PRODUCER, attributes },
      sendingContext(message.metadata),
    );
    const own = span.spanContext();
    span.end();
    return { message: { ...message, metadata: withTraceContext(message.metadata, own) }, context: own };
  });
}

/** Measures the send of messages. One that stored several messages is measured once, without a type if they have several. */
async function measured<T>(messages: readonly TracedMessage[], send: () => Promise<T>): Promise<T> {
  const instruments = findInstruments();
  if (!instruments) return send();
  const start = performance.now();
  let errorType: string | null = null;
  try {
    return await send();
  } catch (error) {
    errorType = errorLabel(errorTypeOf(error));
    throw error;
  } finally {
    const type = commonType(messages);
    const { labels } = type === null ? { labels: LABELS_WITHOUT_TYPE } : sendMeter(type)!;
    instruments.operationDuration.record(
      (performance.now() - start) / 1_000,
      errorType === null ? labels : { ...labels, [ATTRIBUTE.errorType]: errorType },
    );
    for (const { commandType } of messages) {
      const meter = sendMeter(commandType)!;
      if (errorType === null) meter.sent.value += 1;
      else instruments.sentMessages.add(1, { ...meter.labels, [ATTRIBUTE.errorType]: errorType });
    }
  }
}

const LABELS_WITHOUT_TYPE = {
  [ATTRIBUTE.system]: MESSAGING_SYSTEM,
  [ATTRIBUTE.operationName]: 'send',
};

function commonType(messages: readonly TracedMessage[]): string | null {
  const type = messages[0]!.commandType;
  return messages.every(({ commandType }) => commandType === type) ? type : null;
}
