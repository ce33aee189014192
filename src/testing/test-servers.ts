/**
 * Finds or starts the servers of a test inbox, and creates its database and its namespace.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { leaseServers } from '../dev/shared/lease.ts';
import { UnreachableError } from '../core/errors.ts';
import { messageOf } from '../platform/error-message.ts';
import { readDatabaseUrl } from '../platform/postgres-url.ts';
import { readTemporal } from '../temporal/connection-config.ts';
import type { Closers } from './closers.ts';
import { SlowProgress } from './slow-progress.ts';
import { copyTestDatabase, createTestDatabase } from './test-database.ts';
import { dashed } from './test-name.ts';
import { createNamespace, deleteLeftovers, deleteNamespace, terminateWorkflows } from './test-namespace.ts';

export interface TestServers {
  databaseUrl: string;
  connectionOptions: ClientConnectConfig['connectionOptions'];
  namespace: string;
  client: Client;
}

/**
 * @param name - of the database. The namespace and the task queue have the same name with dashes
 * @throws ConfigurationError if DATABASE_URL or Temporal's settings are invalid, or the login may not create databases;
 *   UnreachableError if an embedded server does not start, or Temporal does not answer
 */
export async function openServers(name: string, closers: Closers): Promise<TestServers> {
  const ownDatabase = process.env['DATABASE_URL']?.trim() ? readDatabaseUrl() : null;
  const ownTemporal = process.env['TEMPORAL_ADDRESS']?.trim() ? readTemporal() : null;
  const embedded = ownDatabase === null || ownTemporal === null ? await lease(closers) : null;
  const database =
    ownDatabase === null
      ? await copyTestDatabase(embedded!.databaseUrl!, name)
      : await createTestDatabase(ownDatabase, name);
  closers.add('the database', () => database.drop());
  const temporal = ownTemporal ?? {
    connectionOptions: { address: embedded!.temporalAddress! },
    namespace: 'default',
  };
  return {
    databaseUrl: database.url,
    ...(await openTemporal(temporal, ownTemporal === null, dashed(name), closers)),
  };
}

async function lease(closers: Closers) {
  const progress = new SlowProgress();
  try {
    const leased = await leaseServers((line) => progress.add(line));
    closers.add('the lease of the servers', () => leased.release());
    return leased;
  } catch (error) {
    throw new UnreachableError(`the servers of the test did not start: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    progress.end();
  }
}

interface TemporalSettings {
  connectionOptions: ClientConnectConfig['connectionOptions'];
  namespace: string;
}

/**
 * @param isEmbedded - false for a server that TEMPORAL_ADDRESS names. If a namespace is configured for that server, the test
 *   uses it
 * @param name - of the namespace to create, and of the task queue
 */
async function openTemporal(
  { connectionOptions, namespace }: TemporalSettings,
  isEmbedded: boolean,
  name: string,
  closers: Closers,
): Promise<Omit<TestServers, 'databaseUrl'>> {
  const { Client: TemporalClient, Connection } = await import('@temporalio/client');
  const connection = await Connection.connect(connectionOptions).catch((error: unknown) => {
    const problem = `Temporal at ${connectionOptions.address} does not answer: ${messageOf(error)}`;
    throw new UnreachableError(problem, { cause: error });
  });
  closers.add('the connection to Temporal', () => connection.close());
  const isChosen = !isEmbedded && (namespace !== 'default' || !!process.env['TEMPORAL_NAMESPACE']?.trim());
  if (!isChosen && (await createNamespace(connection, name))) {
    closers.add('the namespace', () => deleteNamespace(connection, name));
    // In the background, because it takes seconds.
    if (!isEmbedded) void deleteLeftovers(connection).catch(() => {});
    return {
      connectionOptions,
      namespace: name,
      client: new TemporalClient({ connection, namespace: name }),
    };
  }
  const client = new TemporalClient({ connection, namespace });
  closers.add('the workflows', () => terminateWorkflows(client, name));
  return { connectionOptions, namespace, client };
}
