/**
 * The address on which a worker serves its metrics and probes.
 *
 * @module
 */
import { ConfigurationError } from '../../core/errors.ts';
import { readVariables } from '../../platform/environment.ts';
import type { Environment } from '../../platform/environment.ts';

export interface HttpAddress {
  host: string;
  port: number;
}

const LOOPBACK = '127.0.0.1';
const ADDRESS = /^(?:(?:\[([\da-f:.]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/i;

/** Parses `9464`, `0.0.0.0:9464` or `[::]:9464`. Without a host, only this machine can connect. Null for any other text. */
export function parseHttpAddress(text: string): HttpAddress | null {
  const match = ADDRESS.exec(text.trim());
  const port = Number(match?.[3]);
  return match && port <= 65_535 ? { host: match[1] ?? match[2] ?? LOOPBACK, port } : null;
}

/**
 * Reads INBOX_HTTP. Null if it is not set.
 *
 * @throws ConfigurationError for any other value
 */
export function httpAddressFromEnv(env: Environment = process.env): HttpAddress | null {
  const { INBOX_HTTP: text } = readVariables(env, /^INBOX_HTTP$/);
  if (text === undefined) return null;
  const address = parseHttpAddress(text);
  if (address !== null) return address;
  throw new ConfigurationError(
    `INBOX_HTTP (${JSON.stringify(text)}) must be a port, such as 9464, or a host and a port, such as 0.0.0.0:9464`,
  );
}

/** For URLs: an IPv6 address gets brackets. */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
