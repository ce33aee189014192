/**
 * Log lines on stderr: an error is logged by its class and code only, because its message may repeat what a client sent.
 *
 * @module
 */
import type { CommandLog } from 'temporal-inbox';

function print(message: string, fields: Record<string, unknown> = {}): void {
  const text = Object.entries(fields).map(([name, value]) => ` ${name}=${describe(value)}`);
  process.stderr.write(`${new Date().toISOString()} ${message}${text.join('')}\n`);
}

function describe(value: unknown): string {
  if (!(value instanceof Error)) return typeof value === 'string' ? value : JSON.stringify(value);
  const { code } = value as { code?: unknown };
  return typeof code === 'string' ? `${value.name}(${code})` : value.name;
}

export const log: CommandLog = { debug: () => {}, info: print, warn: print, error: print };
