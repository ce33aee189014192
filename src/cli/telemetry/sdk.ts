/**
 * OpenTelemetry's SDK for a worker process. It reads its environment variables as in any other program, and it collects the
 * metrics for `--http`.
 *
 * @module
 */
import { diag, DiagLogLevel } from '@opentelemetry/api';
import type {
  AggregationTemporality as AggregationTemporalityOf,
  InstrumentType as InstrumentTypeOf,
  MetricReader,
} from '@opentelemetry/sdk-metrics';
import type { CommandLog } from '../../core/command-log.ts';
import { ConfigurationError } from '../../core/errors.ts';
import { withTimeout } from '../../platform/deadline.ts';
import type { Environment } from '../../platform/environment.ts';
import { RateLimitedWarning } from '../../platform/rare-warning.ts';
import { hasMetricsSdk } from '../../telemetry/tracer.ts';
import { isExported, metricsProtocol } from './otel-environment.ts';

export interface Telemetry {
  /** The metrics in Prometheus's text format. Null if nothing collects them for HTTP. */
  metrics(): Promise<string | null>;
  /** Exports what is left. Takes at most a few seconds, even if the exporter hangs. */
  shutdown(): Promise<void>;
}

/** For a worker that neither exports nor serves anything. */
const NONE: Telemetry = { metrics: async () => null, shutdown: async () => {} };

const SHUTDOWN_LIMIT_MS = 3_000;
/** The default ones would also export the process's arguments, which may contain the URL of a broker with its password. */
const RESOURCE_DETECTORS = 'env,host,serviceinstance';

/**
 * Starts the SDK if the environment asks for an export or the metrics are served over HTTP. Call it before creating the
 * worker, because meters do not find an SDK that is registered later.
 *
 * @throws ConfigurationError if the SDK is needed and not installed
 */
export async function startTelemetry(
  { serveMetrics, env = process.env }: { serveMetrics: boolean; env?: Environment },
  log: CommandLog,
): Promise<Telemetry> {
  const [exportsTraces, exportsMetrics] = [isExported('TRACES', env), isExported('METRICS', env)];
  if (!serveMetrics && !exportsTraces && !exportsMetrics) return NONE;
  // A module that was loaded with `--import` may have registered one.
  if (hasMetricsSdk()) {
    log.info('an OpenTelemetry SDK is registered already, so this worker uses it; /metrics is not served');
    return NONE;
  }
  const { NodeSDK, prometheus, serialize } = await loadSdk();
  process.env['OTEL_NODE_RESOURCE_DETECTORS'] ??= RESOURCE_DETECTORS;
  const forHttp = serveMetrics ? prometheus() : null;
  const readers: MetricReader[] = [
    ...(forHttp ? [forHttp] : []),
    ...(exportsMetrics ? await exportingReaders(env) : []),
  ];
  const sdk = new NodeSDK({
    metricReaders: readers,
    logRecordProcessors: [],
    ...(!exportsTraces && { spanProcessors: [] }),
    ...(!hasServiceName(env) && { serviceName: 'temporal-inbox' }),
  });
  // After the constructor, which may set a logger of its own.
  logProblems(log);
  sdk.start();
  return {
    async metrics() {
      if (!forHttp) return null;
      const { resourceMetrics } = await forHttp.collect();
      // The serializer would otherwise warn that the detectors of the resource have not finished.
      await resourceMetrics.resource.waitForAsyncAttributes?.();
      return serialize(resourceMetrics);
    },
    shutdown: () =>
      withTimeout(
        SHUTDOWN_LIMIT_MS,
        () => sdk.shutdown(),
        () => log.warn('telemetry could not be exported before the worker ended'),
      ).catch((error: unknown) => log.warn('telemetry could not be exported', { error })),
  };
}

function hasServiceName(env: Environment): boolean {
  return !!env['OTEL_SERVICE_NAME']?.trim() || !!env['OTEL_RESOURCE_ATTRIBUTES']?.includes('service.name=');
}

/** The SDK's packages are optional dependencies, so that they can be left out where only the library is used. */
async function loadSdk() {
  try {
    const [
      { NodeSDK },
      { PrometheusExporter, PrometheusSerializer },
      { AggregationTemporality, InstrumentType },
    ] = await Promise.all([
      import('@opentelemetry/sdk-node'),
      import('@opentelemetry/exporter-prometheus'),
      import('@opentelemetry/sdk-metrics'),
    ]);
    /** Forgets series of gauges that are no longer observed. */
    class ScrapeReader extends PrometheusExporter {
      override selectAggregationTemporality(type: InstrumentTypeOf): AggregationTemporalityOf {
        return type === InstrumentType.OBSERVABLE_GAUGE
          ? AggregationTemporality.DELTA
          : super.selectAggregationTemporality(type);
      }
    }
    // Without a prefix, timestamps, or labels that repeat the name and version of the scope.
    const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
    return {
      NodeSDK,
      prometheus: () => new ScrapeReader({ preventServerStart: true }),
      serialize: (collected: Parameters<typeof serializer.serialize>[0]) => serializer.serialize(collected),
    };
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigurationError(
      'metrics and traces need the optional packages of OpenTelemetry, which were left out when temporal-inbox was ' +
        'installed: npm install @opentelemetry/sdk-node @opentelemetry/sdk-metrics @opentelemetry/exporter-prometheus ' +
        '@opentelemetry/exporter-metrics-otlp-proto',
      { cause: error },
    );
  }
}

const OTLP_EXPORTERS = {
  'http/protobuf': async () =>
    new (await import('@opentelemetry/exporter-metrics-otlp-proto')).OTLPMetricExporter(),
  'http/json': async () =>
    new (await import('@opentelemetry/exporter-metrics-otlp-http')).OTLPMetricExporter(),
  grpc: async () => new (await import('@opentelemetry/exporter-metrics-otlp-grpc')).OTLPMetricExporter(),
};

/** The SDK's own reading of these variables cannot be combined with a reader for HTTP. */
async function exportingReaders(env: Environment): Promise<MetricReader[]> {
  const { PeriodicExportingMetricReader } = await import('@opentelemetry/sdk-metrics');
  const exporter = await OTLP_EXPORTERS[metricsProtocol(env)]();
  const exportIntervalMillis = Number(env['OTEL_METRIC_EXPORT_INTERVAL']) || 60_000;
  const exportTimeoutMillis = Math.min(
    exportIntervalMillis,
    Number(env['OTEL_METRIC_EXPORT_TIMEOUT']) || 30_000,
  );
  return [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis, exportTimeoutMillis })];
}

const PROBLEM = 'OpenTelemetry reports a problem; commands are not affected';
/** Further kinds of problems are not logged. */
const MAX_KINDS = 20;

const ignore = () => {};

/** The SDK reports each failed export. One line per minute and kind is enough. */
function logProblems(log: CommandLog): void {
  const warnings = new Map<string, RateLimitedWarning>();
  const report = (message: string, ...details: unknown[]) => {
    const text = [message, ...details].map((part) => describe(part)).join(' ');
    const kind = text.replaceAll(/\d+/g, '#').slice(0, 60);
    const isNew = !warnings.has(kind);
    if (isNew && warnings.size < MAX_KINDS) warnings.set(kind, new RateLimitedWarning(log, PROBLEM));
    warnings.get(kind)?.happened({ problem: text.slice(0, 300) });
  };
  diag.setLogger(
    { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

function describe(part: unknown): string {
  if (part instanceof Error) return part.message;
  return typeof part === 'string' ? part : JSON.stringify(part);
}
