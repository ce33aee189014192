/**
 * Temporal's Runtime for the inbox's processes.
 *
 * @module
 */
import { makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { TelemetryOptions } from '@temporalio/worker';
import type { CommandLog } from '../core/command-log.ts';
import { createLog } from '../platform/log.ts';
import { createSdkLogger } from './sdk-logger.ts';

export interface RuntimeChoice {
  shutdownSignals?: NodeJS.Signals[];
  log?: CommandLog;
  /** Where the SDK's own metrics go. Default: nowhere. */
  metrics?: TelemetryOptions['metrics'];
}

/**
 * Call once per process, before creating a worker or a connection. The shutdown signals then stop the workers gracefully.
 *
 * @throws IllegalStateError if the process has a Runtime already; an Error if the metrics cannot be set up
 */
export function installRuntime({
  shutdownSignals = ['SIGTERM', 'SIGINT'],
  log = createLog(),
  metrics,
}: RuntimeChoice = {}): void {
  Runtime.install({
    logger: createSdkLogger(log),
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) },
      ...(metrics && { metrics }),
    },
    shutdownSignals,
  });
}
