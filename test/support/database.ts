/**
 * A separate database for every test file, copied from a template that has the inbox's schema.
 *
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { createPool } from '../../src/platform/postgres.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';

export interface TestDatabase {
  url: string;
  pool: Pool;
  drop(): Promise<void>;
}

/** Copies the migrated template; `empty` creates a database without the inbox's schema. */
export async function createTestDatabase(kind: 'migrated' | 'empty' = 'migrated'): Promise<TestDatabase> {
  const serverUrl = readDatabaseUrl();
  const server = createPool({ connectionString: serverUrl, max: 1, applicationName: 'inbox tests' });
  const name = `inbox_test_${randomBytes(6).toString('hex')}`;
  try {
    const template = kind === 'empty' ? 'template0' : await ensureTemplate(server, serverUrl);
    await copyDatabase(server, name, template);
  } finally {
    await server.end();
  }
  const url = databaseUrl(serverUrl, name);
  const pool = createPool({ connectionString: url, max: 10, applicationName: 'inbox tests' });
  // A copied database is a different inbox, so it needs its own identity.
  if (kind === 'migrated') await pool.query('update inbox.identity set id = gen_random_uuid()');
  return {
    url,
    pool,
    async drop() {
      await pool.end();
      const admin = createPool({ connectionString: serverUrl, max: 1, applicationName: 'inbox tests' });
      await admin.query(`drop database if exists ${name} with (force)`);
      await admin.end();
    },
  };
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** The template's name contains a checksum of the migrations, so that a template of another version is not used. */
async function ensureTemplate(server: Pool, serverUrl: string): Promise<string> {
  const checksums = (await readMigrations()).map(({ checksum }) => checksum).join();
  // Shortened, because Postgres truncates names to 63 bytes.
  const name = `inbox_template_${createHash('sha256').update(checksums).digest('hex').slice(0, 16)}`;
  const client = await server.connect();
  try {
    await client.query('select pg_advisory_lock(420001)');
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) {
      await client.query(`create database ${name}_new template template0`);
      const url = databaseUrl(serverUrl, `${name}_new`);
      const pool = createPool({ connectionString: url, max: 1, applicationName: 'inbox tests' });
      await migrate(pool);
      await pool.end();
      await client.query(`alter database ${name}_new rename to ${name}`);
    }
  } finally {
    await client.query('select pg_advisory_unlock(420001)');
    client.release();
  }
  return name;
}

async function copyDatabase(server: Pool, name: string, template: string): Promise<void> {
  await server.query(`create database ${name} template ${template}`);
}

/** Empties these tables and all that reference them. Triggers are off, because one forbids truncating the audit. */
export async function truncate(pool: Pool, tables: string): Promise<void> {
  await pool.query(`begin; set local session_replication_role = replica; truncate ${tables} cascade; commit`);
}
