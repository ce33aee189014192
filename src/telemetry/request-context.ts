/**
 * The trace context of an HTTP request.
 *
 * @module
 */
import { context, trace } from '@opentelemetry/api';
import type { JsonObject } from '../core/json.ts';
import { parseTraceContext, TRACEPARENT, TRACESTATE, withTraceContext } from './trace-context.ts';

/**
 * Runs the work as part of the client's trace. Does nothing if a span is active: then the program's own instrumentation has
 * read the headers already.
 */
export function inRequestContext<T>(headers: Headers, work: () => T): T {
  const active = context.active();
  const remote = trace.getSpanContext(active) ? null : readHeaders(headers);
  return remote ? context.with(trace.setSpanContext(active, remote), work) : work();
}

/**
 * Adds the client's trace context to a message's metadata. With an SDK, the send adds its own; without one, this process has
 * no active context, and the worker may still have an SDK.
 */
export function withRequestContext(headers: Headers, metadata: JsonObject): JsonObject {
  if (trace.getSpanContext(context.active())) return metadata;
  const remote = readHeaders(headers);
  return remote ? withTraceContext(metadata, remote) : metadata;
}

const readHeaders = (headers: Headers) =>
  parseTraceContext(headers.get(TRACEPARENT), headers.get(TRACESTATE));
