/**
 * Passes the log lines of Temporal's SDK to our log, without the messages of errors, which may repeat parts of a payload.
 *
 * @module
 */
import { DefaultLogger } from '@temporalio/worker';
import type { Logger, LogLevel as SdkLevel, Worker, WorkerOptions } from '@temporalio/worker';
import type { CommandLog } from '../core/command-log.ts';
import type { LogLevel } from '../platform/log.ts';

const LEVELS: Record<SdkLevel, LogLevel> = {
  TRACE: 'debug',
  DEBUG: 'debug',
  // These lines do not help operators.
  INFO: 'debug',
  WARN: 'warn',
  ERROR: 'error',
};

export function createSdkLogger(log: CommandLog): Logger {
  return new DefaultLogger('DEBUG', ({ level, message, meta }) => writeLine(log, level, message, meta));
}

function writeLine(log: CommandLog, level: SdkLevel, message: string, meta: unknown): void {
  // The code that records a failed attempt also logs it.
  if (message === 'Activity failed') return;
  const { workflowId, activityType, error } = (meta ?? {}) as Record<string, unknown>;
  log[LEVELS[level]](`temporal: ${withoutReason(message)}`, { messageId: workflowId, activityType, error });
}

/** The SDK ends some messages with that of an error: `Error while processing ActivityTask.start: …`. */
function withoutReason(message: string): string {
  return /^Error while [^:]+(?=: )/.exec(message)?.[0] ?? message;
}

/**
 * The sink for log lines of workflows. Without it, they go to the logger of the process's Runtime, which may print the
 * messages of errors.
 */
export function workflowLogSink(logger: Logger): NonNullable<WorkerOptions['sinks']> {
  const at = (level: SdkLevel) => ({
    // The attributes contain the workflow's ID.
    fn: (_info: unknown, message: string, attributes?: Record<string, unknown>) =>
      logger.log(level, message, attributes),
    callDuringReplay: false,
  });
  return {
    defaultWorkerLogger: {
      trace: at('TRACE'),
      debug: at('DEBUG'),
      info: at('INFO'),
      warn: at('WARN'),
      error: at('ERROR'),
    },
  };
}

/**
 * Makes a worker log to this logger. A worker takes its logger from the process's Runtime, which belongs to the program
 * that embeds it, and the SDK has no option to change that.
 */
export function setWorkerLogger(worker: Worker, logger: Logger): void {
  Reflect.set(worker, 'logger', logger);
}
