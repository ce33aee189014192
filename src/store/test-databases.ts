/**
 * Databases that tests create for themselves, and drop.
 *
 * @module
 */
import { escapeIdentifier } from 'pg';
import type { Queryable } from '../platform/queryable.ts';

/**
 * Creates a database.
 *
 * @param template - the database to copy. Nobody may be connected to it
 * @throws DatabaseError 42501 if the login may not create databases
 */
export async function createDatabase(db: Queryable, name: string, template: string): Promise<void> {
  await db.query(`create database ${escapeIdentifier(name)} template ${escapeIdentifier(template)}`);
}

/** Drops the database and ends the sessions in it. Does nothing if it does not exist. */
export async function dropDatabase(db: Queryable, name: string): Promise<void> {
  await db.query(`drop database if exists ${escapeIdentifier(name)} with (force)`);
}

/** Returns the names of the databases that start with this text. */
export async function findDatabases(db: Queryable, prefix: string): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    'select datname as name from pg_database where starts_with(datname, $1)',
    [prefix],
  );
  return rows.map(({ name }) => name);
}

/** A copy is another inbox than the database that it was copied from. */
export async function renewIdentity(db: Queryable): Promise<void> {
  await db.query('update inbox.identity set id = gen_random_uuid()');
}

/** Makes `public` the schema of tables that are created in this database without naming a schema. */
export async function preferPublic(db: Queryable, name: string): Promise<void> {
  await db.query(`alter database ${escapeIdentifier(name)} set search_path = public`);
}
