/**
 * Temporal's Runtime for the inbox's processes. The SDK logs to our log, without the messages of errors.
 *
 * @module
 */
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { createLog } from '../platform/log.ts';
import type { LogLevel } from '../platform/log.ts';

export const workerLog = createLog(process.env['INBOX_LOG_LEVEL'] === 'debug' ? 'debug' : 'info');

/** The SDK's INFO lines don't help operators; `INBOX_LOG_LEVEL=debug` shows them. */
const SDK_LEVEL = process.env['INBOX_LOG_LEVEL'] === 'debug' ? 'DEBUG' : 'WARN';
const LEVELS: Record<string, LogLevel> = {
  TRACE: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

/** Call once per process, before creating a worker. The shutdown signals then stop the workers gracefully. */
export function installRuntime({
  shutdownSignals = ['SIGTERM', 'SIGINT'],
}: { shutdownSignals?: NodeJS.Signals[] } = {}): void {
  Runtime.install({
    logger: new DefaultLogger(SDK_LEVEL, ({ level, message, meta }) => {
      // The code that records a failed attempt also logs it.
      if (message === 'Activity failed') return;
      const { workflowId, activityType, error } = (meta ?? {}) as Record<string, unknown>;
      workerLog[LEVELS[level] ?? 'info'](`temporal: ${message}`, {
        messageId: workflowId,
        activityType,
        error,
      });
    }),
    telemetryOptions: { logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
    shutdownSignals,
  });
}
