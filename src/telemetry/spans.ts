/**
 * Functions that all kinds of spans share.
 *
 * @module
 */
import { context, createContextKey, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span } from '@opentelemetry/api';
import type { JsonObject } from '../core/json.ts';
import { ATTRIBUTE, MESSAGING_SYSTEM } from './conventions.ts';
import { traceContextOf } from './trace-context.ts';

/** The fields of a message that its spans show. */
export interface TracedMessage {
  messageId: string;
  commandType: string;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
}

/** The attributes of a span that concerns one message. The names of operations and their types are those of the conventions. */
export function messageAttributes(
  operation: 'send' | 'create' | 'process',
  { messageId, commandType, correlationId, causationId }: TracedMessage,
): Attributes {
  const attributes: Attributes = {
    [ATTRIBUTE.system]: MESSAGING_SYSTEM,
    [ATTRIBUTE.operationName]: operation,
    [ATTRIBUTE.operationType]: operation,
    [ATTRIBUTE.destination]: commandType,
    [ATTRIBUTE.messageId]: messageId,
  };
  if (correlationId !== null) attributes[ATTRIBUTE.conversationId] = correlationId;
  if (causationId !== null) attributes[ATTRIBUTE.causationId] = causationId;
  return attributes;
}

/** The context in which a message is sent: the active one or, without an active span, the one that its sender put into it. */
export function sendingContext(metadata: JsonObject): Context {
  const active = context.active();
  if (trace.getSpanContext(active)) return active;
  const own = traceContextOf(metadata);
  return own ? trace.setSpanContext(active, own) : active;
}

/**
 * The type of an error, for `error.type`: its code, such as an SQLSTATE, or the name of its class. Never its message, which
 * may repeat a payload.
 */
export function errorTypeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : error.name;
}

/**
 * Ends a span.
 *
 * @param errorType - null if the work succeeded
 * @param message - the error's message, if it may be exported
 */
export function endSpan(span: Span, errorType: string | null, message?: string): void {
  if (errorType !== null) {
    span.setAttribute(ATTRIBUTE.errorType, errorType);
    span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
  }
  span.end();
}

const OWN_STATEMENTS = createContextKey('temporal-inbox: no spans of statements');

/** Returns a context in which the inbox's own statements get no spans. */
export const withoutStatements = (parent: Context): Context => parent.setValue(OWN_STATEMENTS, true);

/** True for statements of a handler, false for those with which the inbox stores what a handler sends. */
export const hasStatements = (active: Context): boolean => active.getValue(OWN_STATEMENTS) !== true;

/** Runs asynchronous work in a span, which is the active one meanwhile. */
export function inSpan<T>(span: Span, parent: Context, work: () => Promise<T>): Promise<T> {
  const working = context.with(trace.setSpan(parent, span), work);
  return working.then(
    (result) => {
      span.end();
      return result;
    },
    (error: unknown) => {
      endSpan(span, errorTypeOf(error));
      throw error;
    },
  );
}
