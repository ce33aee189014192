/**
 * The Postgres and Temporal that `inbox dev`, the demo and the tests use: those that DATABASE_URL and TEMPORAL_ADDRESS
 * name, and embedded ones where they are not set.
 *
 * @module
 */
import { join } from 'node:path';
import { readDatabaseUrl } from '../platform/postgres-url.ts';
import { readTemporal } from '../temporal/connection-config.ts';
import { SEARCH_ATTRIBUTES } from '../core/protocol.ts';
import { makeOwnFolder } from './process/folders.ts';
import { choosePort } from './process/ports.ts';
import { startPostgresServer, type PostgresServer } from './postgres/server.ts';
import type { Log } from './process/progress.ts';
import { startTemporalServer, type TemporalServer } from './temporal/server.ts';

export { defaultDevDir } from './process/folders.ts';

export interface ServersOptions {
  /** Where the embedded servers keep their data, such as `defaultDevDir()`. Without it nothing is kept. */
  persistentDir?: string;
  /** Use the ports that people expect, where they are free. Default: free ones. */
  usualPorts?: boolean;
  /** Settings of the embedded Postgres, such as `{ max_connections: '1000' }`. */
  postgresSettings?: Record<string, string>;
  log?: Log;
  /** DATABASE_URL, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE are read from it. Default process.env. */
  env?: NodeJS.ProcessEnv;
}

export interface Servers {
  databaseUrl: string;
  temporalAddress: string;
  /** Of the embedded Temporal's Web UI. */
  uiUrl: string | null;
  /** Only where it is ours. */
  postgres?: PostgresServer;
  temporal?: TemporalServer;
  /** Stops what was started here, and nothing else. */
  stop(): Promise<void>;
}

const TEMPORAL_PORT = 7233;
const TEMPORAL_UI_PORT = 8233;
/** Always the same, so that a client's settings stay right; not 5432, where people expect their own Postgres. */
const POSTGRES_PORT = 54329;

/**
 * Foreign servers are neither checked nor altered: `inbox setup` does that.
 *
 * @throws ConfigurationError when DATABASE_URL or TEMPORAL_ADDRESS is set to something else than an address; NotOursError when
 *   another user can change what is in the folder; Error when a server does not start
 */
export async function startServers(options: ServersOptions = {}): Promise<Servers> {
  const env = options.env ?? process.env;
  const databaseUrl = env['DATABASE_URL']?.trim() ? readDatabaseUrl(env) : null;
  const temporalAddress = env['TEMPORAL_ADDRESS']?.trim()
    ? readTemporal(env).connectionOptions.address
    : undefined;
  if (options.persistentDir !== undefined) await makeOwnFolder(options.persistentDir);
  const [postgres, temporal] = await Promise.allSettled([
    databaseUrl === null ? startPostgres(options) : null,
    temporalAddress === undefined ? startTemporal(options, env) : null,
  ]);
  const started = [postgres, temporal].flatMap((result) =>
    result.status === 'fulfilled' && result.value !== null ? [result.value] : [],
  );
  async function stop(): Promise<void> {
    await Promise.all(started.map((server) => server.stop()));
  }

  if (postgres.status === 'rejected' || temporal.status === 'rejected') {
    await stop();
    throw firstFailure(postgres, temporal);
  }
  return {
    databaseUrl: postgres.value?.url ?? databaseUrl ?? '',
    temporalAddress: temporal.value?.address ?? temporalAddress ?? '',
    uiUrl: temporal.value?.uiUrl ?? null,
    ...(postgres.value === null ? {} : { postgres: postgres.value }),
    ...(temporal.value === null ? {} : { temporal: temporal.value }),
    stop,
  };
}

async function startPostgres({
  persistentDir,
  usualPorts,
  postgresSettings,
  log,
}: ServersOptions): Promise<PostgresServer> {
  return startPostgresServer({
    ...(persistentDir === undefined ? {} : { dataDir: join(persistentDir, 'postgres') }),
    ...(usualPorts ? { port: await choosePort(POSTGRES_PORT) } : {}),
    ...(postgresSettings === undefined ? {} : { settings: postgresSettings }),
    ...(log === undefined ? {} : { log }),
  });
}

async function startTemporal(
  { persistentDir, usualPorts, log }: ServersOptions,
  env: NodeJS.ProcessEnv,
): Promise<TemporalServer> {
  const namespace = env['TEMPORAL_NAMESPACE'];
  return startTemporalServer({
    searchAttributes: Object.values(SEARCH_ATTRIBUTES),
    ...(persistentDir === undefined ? {} : { dbFile: join(persistentDir, 'temporal', 'temporal.db') }),
    ...(usualPorts
      ? { port: await choosePort(TEMPORAL_PORT), uiPort: await choosePort(TEMPORAL_UI_PORT) }
      : {}),
    ...(namespace ? { namespace } : {}),
    ...(log === undefined ? {} : { log }),
  });
}

function firstFailure(...results: PromiseSettledResult<unknown>[]): Error {
  const reasons = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  );
  const errors = reasons.map((reason) => (reason instanceof Error ? reason : new Error(String(reason))));
  const [first, second] = errors;
  if (first !== undefined && second === undefined) return first;
  return new AggregateError(errors, errors.map((error) => error.message).join('\n'));
}
