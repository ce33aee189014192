/**
 * What every command of the command line needs: servers, an exit code, an actor.
 *
 * @module
 */
import { userInfo } from 'node:os';
import type { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { readSettings } from '../../settings.ts';
import { readDatabaseUrl } from '../../platform/postgres-url.ts';
import { readTemporal } from '../../temporal/connection-config.ts';
import { OPERATOR_SETTINGS } from '../../platform/connection-settings.ts';
import type { PinnedSettings } from '../../platform/connection-settings.ts';
import { createPool } from '../../platform/postgres.ts';
import { UnreachableError } from '../../core/errors.ts';
import { checkSchema } from '../../store/migrate.ts';

/**
 * Runs with a pool on DATABASE_URL, and closes it.
 *
 * @throws SchemaError when this release cannot work with the schema of the database
 */
export async function withPool<T>(work: (pool: Pool) => Promise<T>): Promise<T> {
  return withDatabase(async (pool) => {
    await checkSchema(pool);
    return work(pool);
  }, OPERATOR_SETTINGS);
}

/** Like {@link withPool}, for the commands that migrate: a migration makes its own settings. */
export async function withAnySchema<T>(work: (pool: Pool) => Promise<T>): Promise<T> {
  return withDatabase(work);
}

async function withDatabase<T>(work: (pool: Pool) => Promise<T>, settings?: PinnedSettings): Promise<T> {
  const pool = createPool({
    connectionString: readDatabaseUrl(),
    max: 4,
    applicationName: 'inbox cli',
    ...(settings && { settings }),
  });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

export interface Servers {
  pool: Pool;
  client: Client;
  namespace: string;
  taskQueue: string;
  maxPayloadBytes: number;
}

/** Runs with Postgres and Temporal, and closes both. */
export async function withServers<T>(work: (servers: Servers) => Promise<T>): Promise<T> {
  const { taskQueue, maxPayloadBytes } = readSettings();
  return withPool(async (pool) => {
    const { connection, namespace } = await connectTemporal();
    const { Client } = await import('@temporalio/client');
    try {
      return await work({
        pool,
        client: new Client({ connection, namespace }),
        namespace,
        taskQueue,
        maxPayloadBytes,
      });
    } finally {
      await connection.close();
    }
  });
}

/** @throws UnreachableError that names the address when nobody answers there */
export async function connectTemporal(): Promise<{ connection: Connection; namespace: string }> {
  const { connectionOptions, namespace } = readTemporal();
  // Takes half a second to load, which the commands that need only Postgres do not spend.
  const { Connection } = await import('@temporalio/client');
  try {
    return {
      connection: await Connection.connect({ ...connectionOptions, connectTimeout: '10s' }),
      namespace,
    };
  } catch (error) {
    throw unreachable(connectionOptions.address, error);
  }
}

/** The error for a Temporal server that does not answer. */
export function unreachable(address: string | undefined, error: unknown): UnreachableError {
  const why = error instanceof Error ? error.message : String(error);
  return new UnreachableError(
    `no Temporal server answers at ${address}: ${why}; check that it runs, TEMPORAL_ADDRESS (host:port, without a scheme), ` +
      'and the TLS settings',
  );
}

/** Who is at the keyboard, for the audit: INBOX_ACTOR where many people share one system user, such as in a container. */
export function defaultActor(): string {
  const actor = process.env['INBOX_ACTOR']?.trim();
  if (actor) return actor;
  try {
    return userInfo().username;
  } catch {
    return 'cli';
  }
}
