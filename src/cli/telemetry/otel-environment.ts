/**
 * Reads where OpenTelemetry's environment variables say that telemetry goes.
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 *
 * @module
 */
import type { Environment } from '../../platform/environment.ts';

const isSet = (value: string | undefined) => value !== undefined && value.trim() !== '';

/** Returns whether traces or metrics are exported by this environment. Without an endpoint or an exporter, nothing is. */
export function isExported(kind: 'TRACES' | 'METRICS', env: Environment): boolean {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return false;
  const exporter = env[`OTEL_${kind}_EXPORTER`];
  if (isSet(exporter)) return exporter!.trim() !== 'none';
  return isSet(env['OTEL_EXPORTER_OTLP_ENDPOINT']) || isSet(env[`OTEL_EXPORTER_OTLP_${kind}_ENDPOINT`]);
}

export type OtlpProtocol = 'grpc' | 'http/json' | 'http/protobuf';

/** The protocol of exported metrics. Unknown ones count as the default, as in the SDK. */
export function metricsProtocol(env: Environment): OtlpProtocol {
  const text = env['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL'] ?? env['OTEL_EXPORTER_OTLP_PROTOCOL'];
  const protocol = text?.trim();
  return protocol === 'grpc' || protocol === 'http/json' ? protocol : 'http/protobuf';
}

/** The URL to which Temporal's SDK pushes its own metrics; null if the environment names none. */
export function metricsUrl(env: Environment): string | null {
  const own = env['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'];
  if (isSet(own)) return own!.trim();
  const common = env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  if (!isSet(common)) return null;
  const base = common!.trim();
  return metricsProtocol(env) === 'grpc' ? base : `${base.replace(/\/$/, '')}/v1/metrics`;
}
