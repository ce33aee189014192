/**
 * Log lines on stderr. They contain no payloads, results or error messages, because an error message may repeat parts of the
 * payload. `inbox show` displays it to people who may see it.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { errorFields } from './postgres-errors.ts';
import { maskSecrets } from './secrets.ts';
import { makeVisible } from '../core/text.ts';
import { traceFields } from './trace-fields.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One line per event: time, level, message, then `key=value`. Lines in a span end with `trace_id` and `span_id`. */
export function createLog(minimum: LogLevel = 'info', write: (line: string) => void = toStderr): CommandLog {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(minimum)) return;
    const text = `${makeVisible(message)}${describe({ ...fields, ...traceFields() })}`;
    const line = `${new Date().toISOString()} ${level.toUpperCase().padEnd(5)} ${text}`;
    write(maskSecrets(line));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The same log, with additional fields on every line. */
export function withFields(log: CommandLog, own: Record<string, unknown>): CommandLog {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) =>
    log[level](message, { ...own, ...fields });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function describe(fields: Record<string, unknown>): string {
  return reduceErrors(fields)
    .map(([key, value]) => ` ${makeVisible(key)}=${format(value)}`)
    .join('');
}

/** Replaces errors by fields that are safe to log, and leaves out fields that are undefined. */
export function reduceErrors(fields: Record<string, unknown>): [string, unknown][] {
  return Object.entries(fields)
    .flatMap(([key, value]): [string, unknown][] =>
      value instanceof Error ? describeError(key, value, fields) : [[key, value]],
    )
    .filter(([, value]) => value !== undefined);
}

/** The error's class, its SQLSTATE or code, and the message of a failed connection, unless the line has these fields. */
function describeError(key: string, value: Error, fields: Record<string, unknown>): [string, unknown][] {
  const { error, ...more } = errorFields(value);
  return [[key, error], ...Object.entries(more).filter(([name]) => fields[name] === undefined)];
}

function format(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return /^[\w.:/@+-]+$/.test(text) ? text : makeVisible(JSON.stringify(text));
}

function toStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}
