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

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
const LEVELS: LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One line per event: time, level, message, then `key=value`. */
export function createLog(minimum: LogLevel = 'info', write: (line: string) => void = toStderr): CommandLog {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(minimum)) return;
    const line = `${new Date().toISOString()} ${level.toUpperCase().padEnd(5)} ${makeVisible(message)}${describe(fields ?? {})}`;
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
  return Object.entries(fields)
    .flatMap(([key, value]) =>
      value instanceof Error ? describeError(key, value, fields) : [[key, value] as const],
    )
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${makeVisible(key)}=${format(value)}`)
    .join('');
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
