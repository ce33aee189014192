/**
 * Writes our log lines to a logger of pino's shape.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { ConfigurationError } from '../core/errors.ts';
import { createLog, LOG_LEVELS, reduceErrors } from './log.ts';
import type { LogLevel } from './log.ts';
import { maskSecrets } from './secrets.ts';
import { traceFields } from './trace-fields.ts';

/** The methods of a pino logger that the inbox calls: the fields come first, then the message. */
export interface PinoLogger {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

/**
 * Returns a log that writes to the logger. Errors are reduced to their class and their code, because their messages may
 * repeat parts of a payload; secrets are masked; and lines in a span get `trace_id` and `span_id`.
 */
export function logTo(logger: PinoLogger): CommandLog {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) =>
    logger[level]({ ...safeFields(fields ?? {}), ...traceFields() }, maskSecrets(message));
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function safeFields(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    reduceErrors(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? maskSecrets(value) : value,
    ]),
  );
}

/** The two options that choose where log lines go. */
export interface LogChoice {
  log?: CommandLog | undefined;
  logger?: PinoLogger | undefined;
}

/**
 * Returns the chosen log; by default, one that writes readable lines to stderr.
 *
 * @throws ConfigurationError if both options are given, or a logger lacks one of the methods
 */
export function chooseLog({ log, logger }: LogChoice): CommandLog {
  if (logger === undefined) return log ?? createLog();
  if (log !== undefined) throw new ConfigurationError('give either log or logger, not both');
  const missing = LOG_LEVELS.filter(
    (level) => typeof (logger as Partial<PinoLogger>)?.[level] !== 'function',
  );
  if (missing.length === 0) return logTo(logger);
  throw new ConfigurationError(`logger must be a logger of pino's shape; it lacks: ${missing.join(', ')}`);
}
