/**
 * The Postgres and Temporal servers for `inbox dev`, the demo and the tests. DATABASE_URL and TEMPORAL_ADDRESS select
 * existing servers; an embedded server is started for each variable that is not set.
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
  /** Where the embedded servers keep their data, such as `defaultDevDir()`. Default: nothing is kept. */
  persistentDir?: string;
  /** Use the well-known ports if they are free. Default: any free ports. */
  usualPorts?: boolean;
  /** Settings of the embedded Postgres, such as `{ max_connections: '1000' }`. */
  postgresSettings?: Record<string, string>;
  log?: Log;
  /** The source of DATABASE_URL, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE. Default process.env. */
  env?: NodeJS.ProcessEnv;
}

export interface Servers {
  databaseUrl: string;
  temporalAddress: string;
  /** The Web UI of the embedded Temporal server. Null for an existing server. */
  uiUrl: string | null;
  /** Set only for an embedded server. */
  postgres?: PostgresServer;
  /** Set only for an embedded server. */
  temporal?: TemporalServer;
  /** Stops only the servers that were started here. */
  stop(): Promise<void>;
}

const TEMPORAL_PORT = 7233;
const TEMPORAL_UI_PORT = 8233;
/** A fixed port, so that a client's settings stay valid. It is not 5432, where people expect their own Postgres. */
const POSTGRES_PORT = 54329;

/**
 * Starts the embedded servers that are needed. Existing servers are neither checked nor changed; `inbox setup` does that.
 *
 * @throws ConfigurationError when DATABASE_URL or TEMPORAL_ADDRESS is not a valid address; NotOursError when another user
 *   can change the content of the folder; Error when a server does not start
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
