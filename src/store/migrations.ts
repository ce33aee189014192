/**
 * Which migrations the database has.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import { isUndefinedTable } from '../database.ts';

export interface AppliedMigration {
  version: number;
  name: string;
  checksum: string;
}

/** Held until the transaction ends. The number is arbitrary; it must only be ours. */
export async function lockMigrations(db: Queryable): Promise<void> {
  await db.query('select pg_advisory_xact_lock(8071829304651)');
}

/** Not itself a migration: it must be there to tell which have run. */
export async function createMigrationTable(db: Queryable): Promise<void> {
  await db.query(`
    create schema if not exists inbox;
    create table if not exists inbox.migrations (
      version    integer primary key,
      name       text not null,
      checksum   text not null,
      applied_at timestamptz not null default now())`);
}

/** By version; empty where no migration ever ran. */
export async function appliedMigrations(db: Queryable): Promise<AppliedMigration[]> {
  try {
    const { rows } = await db.query<AppliedMigration>(
      'select version, name, checksum from inbox.migrations order by version',
    );
    return rows;
  } catch (error) {
    if (isUndefinedTable(error)) return [];
    throw error;
  }
}

export async function recordMigration(db: Queryable, migration: AppliedMigration): Promise<void> {
  await db.query('insert into inbox.migrations (version, name, checksum) values ($1, $2, $3)', [
    migration.version,
    migration.name,
    migration.checksum,
  ]);
}
