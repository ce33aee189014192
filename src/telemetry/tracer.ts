/**
 * Our tracer and our meter. Without an OpenTelemetry SDK, they do nothing, and what calls them skips its preparations.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { metrics, ProxyTracerProvider, trace } from '@opentelemetry/api';
import type { Meter, MeterProvider, Tracer } from '@opentelemetry/api';
import { packageFile } from '../platform/package-files.ts';
import { SCHEMA_URL, SCOPE } from './conventions.ts';

let version: string | undefined;
let found: Tracer | undefined;

/** Returns our tracer; undefined while no SDK for traces is registered. */
export function findTracer(): Tracer | undefined {
  if (found !== undefined) return found;
  const provider = trace.getTracerProvider();
  const isMissing =
    provider instanceof ProxyTracerProvider && provider.getDelegateTracer(SCOPE) === undefined;
  if (!isMissing) found = provider.getTracer(SCOPE, packageVersion(), { schemaUrl: SCHEMA_URL });
  return found;
}

/** True if a provider belongs to an SDK; by default, the registered one. */
export function hasMetricsSdk(provider: MeterProvider = metrics.getMeterProvider()): boolean {
  return provider.constructor.name !== 'NoopMeterProvider';
}

/** The meter of a provider; by default, of the registered one. Its instruments do nothing if no SDK is registered yet. */
export function meter(provider: MeterProvider = metrics.getMeterProvider()): Meter {
  return provider.getMeter(SCOPE, packageVersion(), { schemaUrl: SCHEMA_URL });
}

function packageVersion(): string {
  version ??= (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;
  return version;
}
