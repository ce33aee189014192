/**
 * Spans of a handler's statements.
 *
 * @module
 */
import { context, SpanKind, trace } from '@opentelemetry/api';
import { ATTRIBUTE } from './conventions.ts';
import { endSpan, errorTypeOf, hasStatements } from './spans.ts';
import { findTracer } from './tracer.ts';

/** Settings for the contents of spans. Everything else in spans is a name, an id or a number. */
export interface TraceDetails {
  /** A span for each statement of a handler. */
  queries: boolean;
  /** The texts of these statements, without the values of their parameters. */
  queryText: boolean;
  /** The messages of errors. They may repeat parts of a payload. */
  errorMessages: boolean;
}

const FIRST_WORD = /^(?:\s|--[^\n]*\n|\/\*.*?\*\/)*([a-z]+)/is;
const MAX_TEXT_LENGTH = 4_096;

/**
 * Runs a statement in a span, unless the attempt is not sampled.
 *
 * @param text - null if it is not known
 */
export function tracedQuery<T>(
  text: string | null,
  details: TraceDetails | undefined,
  run: () => Promise<T>,
): Promise<T> {
  const tracer = findTracer();
  if (!tracer || !details?.queries) return run();
  const active = context.active();
  if (!trace.getSpan(active)?.isRecording() || !hasStatements(active)) return run();
  const operation = FIRST_WORD.exec(text ?? '')?.[1]?.toUpperCase() ?? 'QUERY';
  const attributes = {
    [ATTRIBUTE.databaseSystem]: 'postgresql',
    [ATTRIBUTE.databaseOperation]: operation,
    ...(details.queryText && text !== null && { [ATTRIBUTE.queryText]: text.slice(0, MAX_TEXT_LENGTH) }),
  };
  const span = tracer.startSpan(operation, { kind: SpanKind.CLIENT, attributes }, active);
  const running = run();
  running.then(
    () => endSpan(span, null),
    (error: unknown) => endSpan(span, errorTypeOf(error)),
  );
  return running;
}
