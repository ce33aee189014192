/**
 * The metrics of Temporal's SDK. Its native part collects and exports them itself.
 *
 * @module
 */
import type { TelemetryOptions } from '@temporalio/worker';
import type { CommandLog } from '../../core/command-log.ts';
import { choosePort, LOOPBACK } from '../../dev/process/ports.ts';
import type { Environment } from '../../platform/environment.ts';
import { RateLimitedWarning } from '../../platform/rare-warning.ts';
import { isExported, metricsProtocol, metricsUrl } from './otel-environment.ts';

export interface TemporalMetrics {
  /** For Temporal's Runtime. */
  options: TelemetryOptions['metrics'];
  /** The metrics in Prometheus's text format; empty if they are exported elsewhere, or cannot be read. */
  read(): Promise<string>;
}

const READ_LIMIT_MS = 2_000;

/**
 * The SDK has one exporter. If the worker serves its metrics, the SDK serves its own on a port of its own, which only this
 * machine can reach, and `read` gets them from there. Otherwise it pushes them where the environment says.
 */
export async function chooseTemporalMetrics(
  { serveMetrics, env = process.env }: { serveMetrics: boolean; env?: Environment },
  log: CommandLog,
): Promise<TemporalMetrics> {
  if (serveMetrics) {
    // The SDK cannot choose a port itself and report it.
    const address = `${LOOPBACK}:${await choosePort()}`;
    const failed = new RateLimitedWarning(log, "the metrics of Temporal's SDK could not be read");
    return {
      options: { prometheus: { bindAddress: address, unitSuffix: true, useSecondsForDurations: true } },
      read: () =>
        readMetrics(address).catch((error: unknown) => {
          failed.happened({ error });
          return '';
        }),
    };
  }
  const url = isExported('METRICS', env) ? metricsUrl(env) : null;
  if (url === null) return { options: undefined, read: readNothing };
  const http = metricsProtocol(env) !== 'grpc';
  return {
    options: { otel: { url, http, metricsExportInterval: '1 minute', useSecondsForDurations: true } },
    read: readNothing,
  };
}

const readNothing = async () => '';

async function readMetrics(address: string): Promise<string> {
  const response = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(READ_LIMIT_MS) });
  return response.text();
}
