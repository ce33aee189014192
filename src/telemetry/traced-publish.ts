/**
 * Spans of published events. An event carries the context of the attempt that emitted it, in its metadata, so its consumers
 * continue the trace of the command.
 *
 * @module
 */
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { Span, Tracer } from '@opentelemetry/api';
import { PublishError } from '../core/errors.ts';
import type { PublishedEvent } from '../core/published-event.ts';
import { ATTRIBUTE, MESSAGING_SYSTEM } from './conventions.ts';
import { endSpan, errorTypeOf } from './spans.ts';
import { traceContextOf } from './trace-context.ts';
import { findTracer } from './tracer.ts';

/** Publishes events, with a span for each one whose command was traced. */
export async function tracedPublish(
  events: readonly PublishedEvent[],
  publish: () => Promise<void>,
): Promise<void> {
  const tracer = findTracer();
  const spans = tracer ? events.flatMap((event) => startSpan(tracer, event)) : [];
  if (spans.length === 0) return publish();
  try {
    await publish();
    for (const { span } of spans) endSpan(span, null);
  } catch (error) {
    const published = new Set(error instanceof PublishError ? (error.published ?? []) : []);
    for (const { id, span } of spans) endSpan(span, published.has(id) ? null : errorTypeOf(error));
    throw error;
  }
}

function startSpan(tracer: Tracer, event: PublishedEvent): { id: string; span: Span }[] {
  const attempt = traceContextOf(event.metadata);
  if (!attempt) return [];
  const attributes = {
    [ATTRIBUTE.system]: MESSAGING_SYSTEM,
    [ATTRIBUTE.operationName]: 'send',
    [ATTRIBUTE.operationType]: 'send',
    [ATTRIBUTE.destination]: event.aggregateType,
    [ATTRIBUTE.messageId]: event.id,
    [ATTRIBUTE.causationId]: event.messageId,
    [ATTRIBUTE.eventType]: event.type,
    ...(event.correlationId !== null && { [ATTRIBUTE.conversationId]: event.correlationId }),
  };
  const options = { kind: SpanKind.PRODUCER, attributes, links: [{ context: attempt }] };
  const parent = trace.setSpanContext(ROOT_CONTEXT, attempt);
  return [{ id: event.id, span: tracer.startSpan(`send ${event.aggregateType}`, options, parent) }];
}
