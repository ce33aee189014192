/**
 * Log lines on stderr. Payloads, results and messages of errors stay out of them: an error's message may repeat what
 * was in the payload, and `inbox show` has it for those who may see it.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { errorFields } from './postgres-errors.ts';
import { hideSecrets } from './secrets.ts';
import { makeVisible } from '../core/text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
const LEVELS: LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One line an event: time, level, message, then `key=value`. */
export function createLog(minimum: LogLevel = 'info', write: (line: string) => void = toStderr): CommandLog {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(minimum)) return;
    const line = `${new Date().toISOString()} ${level.toUpperCase().padEnd(5)} ${makeVisible(message)}${describe(fields ?? {})}`;
    write(hideSecrets(line));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The same log, with fields of its own on every line. */
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

/** Its class, SQLSTATE or code, and the message of a failed connection, where the line does not say them itself. */
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
