/**
 * Starts the metrics and traces of a worker process, and its HTTP server for metrics and probes.
 *
 * @module
 */
import type { CommandLog } from '../../core/command-log.ts';
import { livezAnswer, readyzAnswer } from '../../health/probes.ts';
import type { Readiness } from '../../health/probes.ts';
import { installRuntime } from '../../temporal/runtime.ts';
import type { HttpAddress } from './http-address.ts';
import { serveHttp } from './http-server.ts';
import { startTelemetry } from './sdk.ts';
import { chooseTemporalMetrics } from './temporal-metrics.ts';
import type { TemporalMetrics } from './temporal-metrics.ts';

export interface WorkerTelemetry {
  /** From now on, `/readyz` asks this worker. */
  watch(worker: { readiness(): Promise<Readiness> }): void;
  /** Closes the server and exports what is left. */
  stop(): Promise<void>;
}

const STARTING: Readiness = {
  ready: false,
  checks: [{ name: 'polling', ok: false, problem: 'the worker is starting' }],
};

/** Installs Temporal's Runtime, starts OpenTelemetry's SDK if it is needed, and serves metrics and probes. */
export async function startWorkerTelemetry(
  address: HttpAddress | null,
  log: CommandLog,
): Promise<WorkerTelemetry> {
  const serveMetrics = address !== null;
  const telemetry = await startTelemetry({ serveMetrics }, log);
  const temporal = await chooseTemporalMetrics({ serveMetrics }, log);
  installRuntimeWith(temporal, log);
  let watched: { readiness(): Promise<Readiness> } | undefined;
  const sources = {
    async metrics() {
      const [own, ofTemporal] = await Promise.all([telemetry.metrics(), temporal.read()]);
      return own === null ? null : own + ofTemporal;
    },
    livez: livezAnswer,
    readyz: async () => readyzAnswer((await watched?.readiness()) ?? STARTING),
  };
  const server = address && serveHttp(address, sources, log);
  return {
    watch: (worker) => {
      watched = worker;
    },
    async stop() {
      await server?.close();
      await telemetry.shutdown();
    },
  };
}

/** A wrong OTLP address must not keep the worker from handling commands. */
function installRuntimeWith({ options: metrics }: TemporalMetrics, log: CommandLog): void {
  try {
    installRuntime({ log, ...(metrics && { metrics }) });
  } catch (error) {
    if (!metrics) throw error;
    log.error("the metrics of Temporal's SDK are off, because their exporter could not be set up", { error });
    installRuntime({ log });
  }
}
