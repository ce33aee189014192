/**
 * One connection: whether a pooler is in between, and which settings its transactions begin with.
 *
 * @module
 */
import type { ClientBase } from 'pg';
import { BEGIN, NO_LIMIT, STARTUP_SETTINGS } from './connection-settings.ts';
import type { PinnedSettings } from './connection-settings.ts';
import { noteSession } from './connection-state.ts';
import { ServerConnectionTimeoutError } from './postgres-errors.ts';
import { pinSession, readDifferingSettings, setInTransaction } from './session.ts';

/**
 * Looks where the connection leads, and makes the settings hold on it. Its one round trip also proves that a pooler has
 * connected it to Postgres.
 *
 * @throws ServerConnectionTimeoutError when Postgres does not answer within the time
 */
export async function prepareSession(
  client: ClientBase,
  settings: PinnedSettings,
  settingsFor: 'session' | 'transaction',
  timeoutMs: number,
): Promise<void> {
  const backend = backendOf(client);
  const looking =
    settingsFor === 'session'
      ? pinSession(client, settings, backend)
      : readDifferingSettings(client, settings, backend);
  const { pooled, differing } = await within(timeoutMs, looking).catch((error: unknown) => {
    cut(client);
    throw error;
  });
  if (pooled) (client as unknown as { pipeline: boolean }).pipeline = true;
  const begin = beginWith(client, pooled ? settings : differing);
  noteSession(client, { pooled, begin, ...(pooled && { carried: carriedBy(client) }) });
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
 * Looks once what a pool of the caller's gives. Its transactions then begin with what it lacks of the settings; the sessions stay
 * as they are.
 *
 * @param limits - values for the limits of a transaction that the caller has set
 */
export async function adoptPool(
  pool: object,
  client: ClientBase,
  settings: PinnedSettings,
  limits: Readonly<Record<string, string>>,
): Promise<AdoptedPool> {
  const noLimits = Object.fromEntries(Object.keys(limits).map((name) => [name, NO_LIMIT]));
  const { pooled, differing } = await readDifferingSettings(
    client,
    { ...settings, ...noLimits },
    backendOf(client),
  );
  const needed = Object.fromEntries(
    Object.entries(differing).map(([name, value]) => [name, limits[name] ?? value]),
  );
  noteSession(pool, { pooled, begin: beginWith(client, needed) });
  return { pooled, differs: Object.keys(differing).some((name) => !(name in limits)) };
}

export interface AdoptedPool {
  pooled: boolean;
  /** A single statement does not have the settings: it needs a transaction. */
  differs: boolean;
}

/**
 * The process ID that the server gave when the connection started. A pooler makes one up, for it has many backends behind one
 * connection.
 */
export function backendOf(client: ClientBase): number {
  return (client as unknown as { processID: number | null }).processID ?? 0;
}

/**
 * Closes the socket at once. pg says goodbye first, and a pooler that has no server for a connection does not listen to it; a
 * backend does not before its statement has ended.
 */
export function cut(client: ClientBase): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

async function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ServerConnectionTimeoutError(timeoutMs)), timeoutMs);
  });
  answer.catch(() => {});
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
