/**
 * Temporal's Runtime for a process of ours: its lines go where ours go, without the messages of errors.
 *
 * @module
 */
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { createLog } from '../platform/log.ts';
import type { LogLevel } from '../platform/log.ts';

export const workerLog = createLog(process.env['INBOX_LOG_LEVEL'] === 'debug' ? 'debug' : 'info');

/** What the SDK says of itself at INFO is news to nobody; `INBOX_LOG_LEVEL=debug` shows it. */
const SDK_LEVEL = process.env['INBOX_LOG_LEVEL'] === 'debug' ? 'DEBUG' : 'WARN';
const LEVELS: Record<string, LogLevel> = {
  TRACE: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

/** Once a process, before any worker. Its signals then stop its workers in good order. */
export function installRuntime({
  shutdownSignals = ['SIGTERM', 'SIGINT'],
}: { shutdownSignals?: NodeJS.Signals[] } = {}): void {
  Runtime.install({
    logger: new DefaultLogger(SDK_LEVEL, ({ level, message, meta }) => {
      // Every failed attempt is logged by the one who records it.
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
