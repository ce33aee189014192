/**
 * OpenTelemetry's SDK for a measurement: all traces are sampled and exported, and metrics are collected for Prometheus.
 *
 * @module
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startTelemetry } from '../src/cli/telemetry/sdk.ts';
import { createLog } from '../src/platform/log.ts';

/** Returns a function that stops it. */
export async function exportTelemetry(): Promise<() => Promise<void>> {
  const sink = fork(fileURLToPath(new URL('./otlp-sink.js', import.meta.url)));
  const [port] = (await once(sink, 'message')) as [number];
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${port}`;
  process.env['OTEL_METRICS_EXPORTER'] = 'none';
  const telemetry = await startTelemetry({ serveMetrics: true }, createLog('warn'));
  return async () => {
    await telemetry.shutdown();
    sink.disconnect();
  };
}
