/**
 * The trace context with which a Temporal client started a workflow, as its activities see it.
 *
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { SpanContext } from '@opentelemetry/api';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { TRACE_HEADER } from '../core/protocol.ts';
import { parseTraceContext } from '../telemetry/trace-context.ts';

const started = new AsyncLocalStorage<SpanContext>();

/** Makes the trace context available to {@link startContext} while an activity runs. */
export const traceHeaderInterceptor: ActivityInterceptorsFactory = () => ({
  inbound: {
    execute(input, next) {
      const context = readHeader(input.headers[TRACE_HEADER]?.data);
      return context ? started.run(context, () => next(input)) : next(input);
    },
  },
});

/** Returns null outside of activities, and if the client had no tracing interceptor. */
export function startContext(): SpanContext | null {
  return started.getStore() ?? null;
}

/** The header contains `traceparent` and `tracestate` as JSON. Clients choose it, so it can be anything. */
function readHeader(data: Uint8Array | null | undefined): SpanContext | null {
  if (!data) return null;
  try {
    const fields = JSON.parse(Buffer.from(data).toString()) as Record<string, unknown> | null;
    return parseTraceContext(fields?.['traceparent'], fields?.['tracestate']);
  } catch {
    return null;
  }
}
