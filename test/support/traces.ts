/**
 * An OpenTelemetry SDK for this process, which exports to an OTLP receiver, and waits for traces.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { context, SpanKind, trace } from '@opentelemetry/api';
import { startTelemetry } from '../../src/cli/telemetry/sdk.ts';
import type { Telemetry } from '../../src/cli/telemetry/sdk.ts';
import { createLog } from '../../src/platform/log.ts';
import { startOtlpReceiver } from './otlp.ts';
import type { OtlpReceiver, ReceivedSpan } from './otlp.ts';
import { drawTrace } from './span-tree.ts';
import { eventually } from './wait.ts';

export interface Tracing {
  receiver: OtlpReceiver;
  telemetry: Telemetry;
  /** Runs the work in a span, as a web framework's instrumentation does for a request. Returns the trace's id. */
  request(work: () => Promise<unknown>): Promise<string>;
  /** Waits until the trace looks like this. */
  isTrace(traceId: string, lines: readonly string[]): Promise<void>;
  /** Waits for the spans that the predicate selects. */
  spans(what: string, select: (span: ReceivedSpan) => boolean, count?: number): Promise<ReceivedSpan[]>;
  close(): Promise<void>;
}

/** The variables that an exporter in another process needs. */
export const exportTo = (url: string): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_BSP_SCHEDULE_DELAY: '50',
  OTEL_METRIC_EXPORT_INTERVAL: '500',
});

/** Registers the SDK for the whole process. */
export async function startTracing(serviceName: string): Promise<Tracing> {
  const receiver = await startOtlpReceiver();
  Object.assign(process.env, exportTo(receiver.url), { OTEL_SERVICE_NAME: serviceName });
  const telemetry = await startTelemetry({ serveMetrics: true }, createLog('error'));
  return {
    receiver,
    telemetry,
    async request(work) {
      const span = trace.getTracer('test').startSpan('POST /orders', { kind: SpanKind.SERVER });
      await context.with(trace.setSpan(context.active(), span), work);
      span.end();
      return span.spanContext().traceId;
    },
    async isTrace(traceId, lines) {
      await eventually(`trace ${traceId} is complete`, () => {
        assert.deepEqual(drawTrace(receiver.spans, traceId), lines);
        return true;
      });
    },
    spans: (what, select, count = 1) =>
      eventually(what, () => {
        const found = receiver.spans.filter((span) => select(span));
        return found.length >= count ? found : null;
      }),
    async close() {
      await telemetry.shutdown();
      await receiver.close();
    },
  };
}
