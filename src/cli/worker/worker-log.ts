/**
 * The log of a worker process: readable lines, or JSON through pino.
 *
 * @module
 */
import { pino } from 'pino';
import type { CommandLog } from '../../core/command-log.ts';
import { ConfigurationError } from '../../core/errors.ts';
import { readVariables } from '../../platform/environment.ts';
import type { Environment } from '../../platform/environment.ts';
import { createLog, LOG_LEVELS } from '../../platform/log.ts';
import type { LogLevel } from '../../platform/log.ts';
import { logTo } from '../../platform/pino-log.ts';

const FORMATS = ['text', 'json'] as const;

/**
 * Reads INBOX_LOG (`text` or `json`) and INBOX_LOG_LEVEL (`debug`, `info`, `warn` or `error`).
 *
 * @param write - receives each line; by default, stderr does
 * @throws ConfigurationError for any other value
 */
export function createWorkerLog(env: Environment = process.env, write?: (line: string) => void): CommandLog {
  const values = readVariables(env, /^INBOX_LOG(_LEVEL)?$/);
  const format = readChoice(values, 'INBOX_LOG', FORMATS, 'text');
  const level = readChoice(values, 'INBOX_LOG_LEVEL', LOG_LEVELS, 'info');
  return format === 'json' ? createJsonLog(level, write) : createLog(level, write);
}

function readChoice<Choice extends string>(
  values: Record<string, string>,
  name: string,
  choices: readonly Choice[],
  fallback: Choice,
): Choice {
  const value = values[name] ?? fallback;
  const choice = choices.find((each) => each === value);
  if (choice !== undefined) return choice;
  throw new ConfigurationError(`${name} (${JSON.stringify(value)}) is none of ${choices.join(', ')}`);
}

/** One object per line: `level`, `time`, `msg`, and the line's own fields. docs/observability.md describes them. */
function createJsonLog(level: LogLevel, write?: (line: string) => void): CommandLog {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  // Synchronous, so that no line is lost when the process ends.
  const destination = write ? { write } : pino.destination({ fd: process.stderr.fd, sync: true });
  return logTo(pino(options, destination));
}
