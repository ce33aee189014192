/**
 * Shared by the CLI commands: connections to Postgres and Temporal, and the operator's name.
 *
 * @module
 */
import { userInfo } from 'node:os';
import type { Client, Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { settingsFromEnv } from '../../settings.ts';
import { readDatabaseUrl } from '../../platform/postgres-url.ts';
import { readTemporal } from '../../temporal/connection-config.ts';
import { OPERATOR_SETTINGS } from '../../platform/connection-settings.ts';
import type { PinnedSettings } from '../../platform/connection-settings.ts';
import { createPool } from '../../platform/postgres.ts';
import { UnreachableError } from '../../core/errors.ts';
import { checkSchema } from '../../store/migrate.ts';

/**
 * Runs `work` with a connection pool for DATABASE_URL, then closes the pool.
 *
 * @throws SchemaError when this release cannot work with the database's schema
 */
export async function withPool<T>(work: (pool: Pool) => Promise<T>): Promise<T> {
  return withDatabase(async (pool) => {
    await checkSchema(pool);
    return work(pool);
  }, OPERATOR_SETTINGS);
}

/** Like {@link withPool}, but without a schema check or session settings: for commands that migrate. */
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

/** Runs `work` with connections to Postgres and Temporal, then closes both. */
export async function withServers<T>(work: (servers: Servers) => Promise<T>): Promise<T> {
  const { taskQueue, maxPayloadBytes } = settingsFromEnv();
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

/** @throws UnreachableError, which names the address, when no server answers there */
export async function connectTemporal(): Promise<{ connection: Connection; namespace: string }> {
  const { connectionOptions, namespace } = readTemporal();
  // The client takes half a second to load. Commands that only need Postgres don't load it.
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
    `no Temporal server answers at ${address}: ${why}; check that it is running, TEMPORAL_ADDRESS (host:port, without a scheme), ` +
      'and the TLS settings',
  );
}

/** For `--help`. Commander appends the default. */
export const ACTOR_HELP = 'Your name, for the audit trail; INBOX_ACTOR changes the default';
export const REASON_HELP = 'Why you do this, for the audit trail (default: none)';

/**
 * The operator's name for the audit trail. INBOX_ACTOR is for people who share one system user, for example in a container.
 */
export function defaultActor(): string {
  const actor = process.env['INBOX_ACTOR']?.trim();
  if (actor) return actor;
  try {
    return userInfo().username;
  } catch {
    return 'cli';
  }
}
