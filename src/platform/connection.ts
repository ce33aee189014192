/**
 * Inspects a connection: detects poolers, and determines the settings that its transactions must begin with.
 *
 * @module
 */
import type { ClientBase } from 'pg';
import { BEGIN, NO_LIMIT, STARTUP_SETTINGS } from './connection-settings.ts';
import type { PinnedSettings } from './connection-settings.ts';
import { rememberSession } from './connection-state.ts';
import { withTimeout } from './deadline.ts';
import { ServerConnectionTimeoutError } from './postgres-errors.ts';
import { pinSession, readDifferingSettings, setInTransaction } from './session.ts';

/**
 * Detects whether the connection goes through a pooler, and applies the settings. The single round trip also proves that the
 * pooler has connected the client to Postgres.
 *
 * @throws ServerConnectionTimeoutError when Postgres does not answer in time
 */
export async function prepareSession(
  client: ClientBase,
  settings: PinnedSettings,
  settingsFor: 'session' | 'transaction',
  timeoutMs: number,
): Promise<void> {
  const backend = backendOf(client);
  const inspection =
    settingsFor === 'session'
      ? pinSession(client, settings, backend)
      : readDifferingSettings(client, settings, backend);
  const { pooled, differing } = await withTimeout(
    timeoutMs,
    () => inspection,
    () => {
      throw new ServerConnectionTimeoutError(timeoutMs);
    },
  ).catch((error: unknown) => {
    cut(client);
    throw error;
  });
  if (pooled) (client as unknown as { pipeline: boolean }).pipeline = true;
  const begin = beginWith(client, pooled ? settings : differing);
  rememberSession(client, { pooled, begin, ...(pooled && { carried: carriedBy(client) }) });
}

function beginWith(client: ClientBase, settings: PinnedSettings): string {
  return Object.keys(settings).length === 0 ? BEGIN : `${BEGIN}; ${setInTransaction(client, settings)}`;
}

function carriedBy(client: ClientBase): string {
  const { application_name: name } = (
    client as unknown as { connectionParameters: { application_name?: string } }
  ).connectionParameters;
  return Object.entries({ ...STARTUP_SETTINGS, ...(name && { application_name: name }) })
    .map(([setting, value]) => `set ${setting} = ${client.escapeLiteral(value)}`)
    .join('; ');
}

/**
 * Inspects a pool that belongs to the caller, once. Its transactions then begin with the settings that its sessions lack;
 * the sessions themselves are not changed.
 *
 * @param limits - the values for a transaction's limits, if the caller has set any
 */
export async function inspectCallersPool(
  pool: object,
  client: ClientBase,
  settings: PinnedSettings,
  limits: Readonly<Record<string, string>>,
): Promise<CallersPool> {
  const noLimits = Object.fromEntries(Object.keys(limits).map((name) => [name, NO_LIMIT]));
  const { pooled, differing } = await readDifferingSettings(
    client,
    { ...settings, ...noLimits },
    backendOf(client),
  );
  const needed = Object.fromEntries(
    Object.entries(differing).map(([name, value]) => [name, limits[name] ?? value]),
  );
  rememberSession(pool, { pooled, begin: beginWith(client, needed) });
  return { pooled, differs: Object.keys(differing).some((name) => !(name in limits)) };
}

export interface CallersPool {
  pooled: boolean;
  /** The sessions lack some of the settings, so even a single statement needs a transaction. */
  differs: boolean;
}

/**
 * The process ID that the server sent when the connection started. A pooler invents one, because it uses many backends for
 * one connection.
 */
export function backendOf(client: ClientBase): number {
  return (client as unknown as { processID: number | null }).processID ?? 0;
}

/**
 * Closes the socket immediately. pg sends a Terminate message first, but a pooler ignores it while the connection has no
 * server, and a backend ignores it until its statement has ended.
 */
export function cut(client: ClientBase): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
