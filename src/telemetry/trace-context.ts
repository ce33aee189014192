/**
 * The trace context of a message: W3C traceparent and tracestate, under these keys of its metadata. An SQL sender may set
 * them, too. See https://www.w3.org/TR/trace-context/
 *
 * @module
 */
import { context, createTraceState, isSpanContextValid, trace } from '@opentelemetry/api';
import type { SpanContext } from '@opentelemetry/api';
import type { JsonObject } from '../core/json.ts';

export const TRACEPARENT = 'traceparent';
export const TRACESTATE = 'tracestate';

/** Version 00, or a later one, which may have further fields at the end. `ff` is not a version. */
const FORMAT = /^(?!ff)([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
/** Longer values may be cut or dropped, says the specification. Ours are dropped, because a message has limits. */
const MAX_TRACESTATE_LENGTH = 512;
/** A message's metadata can have 65,536 bytes. Metadata that is nearly as large gets no trace context. */
const MAX_METADATA_LENGTH = 60_000;

/** Parses the headers of a request or a message. Returns null unless they are a valid trace context. */
export function parseTraceContext(traceparent: unknown, tracestate: unknown): SpanContext | null {
  if (typeof traceparent !== 'string') return null;
  const match = FORMAT.exec(traceparent.trim());
  if (!match) return null;
  const [, version, traceId, spanId, flags, rest] = match;
  if (version === '00' && rest !== undefined) return null;
  const parsed: SpanContext = {
    traceId: traceId!,
    spanId: spanId!,
    traceFlags: Number.parseInt(flags!, 16) & 1,
    isRemote: true,
    ...(typeof tracestate === 'string' && { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(parsed) ? parsed : null;
}

/** Returns the trace context in a message's metadata, or null if it has none. */
export function traceContextOf(metadata: JsonObject): SpanContext | null {
  return parseTraceContext(metadata[TRACEPARENT], metadata[TRACESTATE]);
}

/**
 * Returns the metadata with a trace context. Metadata that has a traceparent already is not changed, because the sender chose
 * it.
 */
export function withTraceContext(metadata: JsonObject, own: SpanContext): JsonObject {
  if (metadata[TRACEPARENT] !== undefined || !isSpanContextValid(own)) return metadata;
  const isEmpty = Object.keys(metadata).length === 0;
  if (!isEmpty && JSON.stringify(metadata).length > MAX_METADATA_LENGTH) return metadata;
  const { tracestate: _, ...others } = metadata;
  const tracestate = own.traceState?.serialize() ?? '';
  const hasState = tracestate !== '' && tracestate.length <= MAX_TRACESTATE_LENGTH;
  return {
    ...others,
    [TRACEPARENT]: formatTraceparent(own),
    ...(hasState && { [TRACESTATE]: tracestate }),
  };
}

/** Returns the metadata with the context of the active span, if there is one. */
export function withActiveContext(metadata: JsonObject): JsonObject {
  const active = trace.getSpanContext(context.active());
  return active ? withTraceContext(metadata, active) : metadata;
}

/** Returns the metadata without a trace context, as the sender of the message set it. */
export function withoutTraceContext(metadata: JsonObject): JsonObject {
  const { [TRACEPARENT]: _parent, [TRACESTATE]: _state, ...others } = metadata;
  return others;
}

function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 1).toString(16).padStart(2, '0')}`;
}
