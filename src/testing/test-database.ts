/**
 * The database of one test inbox.
 *
 * @module
 */
import type { Pool } from 'pg';
import { ConfigurationError } from '../core/errors.ts';
import { createPool, isPermissionDenied } from '../platform/postgres.ts';
import { migrate } from '../store/migrate.ts';
import {
  createDatabase,
  dropDatabase,
  findDatabases,
  preferPublic,
  renewIdentity,
} from '../store/test-databases.ts';
import { isLeftover, TEST_PREFIX } from './test-name.ts';

export interface TestDatabase {
  url: string;
  /** Connects to the server, but not to the test's database. */
  drop(): Promise<void>;
}

const APPLICATION = 'inbox testing';

/**
 * Copies the database of the embedded server.
 *
 * @param templateUrl - a database that has the inbox's schema. Nobody is connected to it
 */
export async function copyTestDatabase(templateUrl: string, name: string): Promise<TestDatabase> {
  const template = decodeURIComponent(new URL(templateUrl).pathname.slice(1));
  const serverUrl = inDatabase(templateUrl, 'postgres');
  await onServer(serverUrl, async (server) => {
    await createDatabase(server, name, template);
    await prepareDatabase(server, serverUrl, name);
  });
  const url = inDatabase(templateUrl, name);
  await onServer(url, renewIdentity);
  return { url, drop: () => onServer(serverUrl, (server) => dropDatabase(server, name)) };
}

/**
 * Creates a database on the server that DATABASE_URL names, and migrates it. Also drops databases that killed test processes
 * left there more than a day ago.
 *
 * @throws ConfigurationError if the login may not create databases
 */
export async function createTestDatabase(serverUrl: string, name: string): Promise<TestDatabase> {
  await onServer(serverUrl, async (server) => {
    await createDatabase(server, name, 'template0').catch((error: unknown) => {
      if (!isPermissionDenied(error)) throw error;
      throw new ConfigurationError(
        'createTestInbox creates a database, and the login in DATABASE_URL may not: run `alter role <login> createdb`, or ' +
          'unset DATABASE_URL to use an embedded Postgres',
        { cause: error },
      );
    });
    await prepareDatabase(server, serverUrl, name);
    const left = await findDatabases(server, TEST_PREFIX);
    for (const each of left.filter(isLeftover)) await dropDatabase(server, each).catch(() => {});
  });
  const url = inDatabase(serverUrl, name);
  await onServer(url, (pool) => migrate(pool));
  return { url, drop: () => onServer(serverUrl, (server) => dropDatabase(server, name)) };
}

/**
 * The login of an embedded Postgres has the same name as the inbox's schema. Tables that a test creates without naming a
 * schema would therefore be in the inbox's schema, because `search_path` begins with the login's name.
 */
async function prepareDatabase(server: Pool, serverUrl: string, name: string): Promise<void> {
  if (new URL(serverUrl).username === 'inbox') await preferPublic(server, name);
}

function inDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function onServer(url: string, work: (pool: Pool) => Promise<unknown>): Promise<void> {
  const pool = createPool({ connectionString: url, max: 1, applicationName: APPLICATION });
  try {
    await work(pool);
  } finally {
    await pool.end();
  }
}
