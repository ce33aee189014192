/**
 * The ids of the active span, for log lines.
 *
 * @module
 */
import { isSpanContextValid, trace } from '@opentelemetry/api';

/** Returns nothing without an active span, and so without an OpenTelemetry SDK. */
export function traceFields(): { trace_id?: string; span_id?: string } {
  const active = trace.getActiveSpan()?.spanContext();
  if (!active || !isSpanContextValid(active)) return {};
  return { trace_id: active.traceId, span_id: active.spanId };
}
