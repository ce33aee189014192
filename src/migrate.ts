/**
 * Brings the database's schema to this version of the package.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import type { Pool, PoolClient } from 'pg';
import { SchemaError } from './errors.ts';
import { withTransaction } from './database.ts';
import {
  appliedMigrations,
  createMigrationTable,
  lockMigrations,
  recordMigration,
} from './store/migrations.ts';
import { packageFile } from './package.ts';

export interface Migration {
  version: number;
  name: string;
  sql: string;
  /** SHA-256 of the file, hex. */
  checksum: string;
}

export interface MigrationReport {
  applied: Migration[];
  /** The schema's version now. */
  version: number;
}

/** The migrations of this package, by version. */
export async function readMigrations(folder: URL = packageFile('migrations/')): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const version = Number(/^(\d{4})_/.exec(file)?.[1]);
      if (version !== index + 1)
        throw new SchemaError(`${file}: migrations are numbered 0001, 0002, … without a gap`);
      const sql = await readFile(new URL(file, folder), 'utf8');
      return { version, name: file, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Applies what is missing, each migration in a transaction of its own, under an advisory lock: of two migrators at
 * once, one waits and then finds nothing to do.
 *
 * @throws SchemaError when the database is newer than this package, or an applied migration was edited.
 */
export async function migrate(pool: Pool, migrations?: Migration[]): Promise<MigrationReport> {
  const known = migrations ?? (await readMigrations());
  const applied: Migration[] = [];
  for (;;) {
    const next = await withTransaction(pool, (tx) => applyNext(tx, known));
    if (!next) return { applied, version: known.length };
    applied.push(next);
  }
}

async function applyNext(tx: PoolClient, known: Migration[]): Promise<Migration | null> {
  await lockMigrations(tx);
  await createMigrationTable(tx);
  const next = nextMigration(known, await appliedMigrations(tx));
  if (!next) return null;
  await tx.query(next.sql);
  await recordMigration(tx, next);
  return next;
}

function nextMigration(known: Migration[], applied: Pick<Migration, 'version' | 'name' | 'checksum'>[]) {
  for (const row of applied) {
    const migration = known[row.version - 1];
    if (!migration) {
      throw new SchemaError(
        `the database is at schema version ${applied.length} (${row.name}), this package knows ${known.length}; ` +
          'a newer temporal-inbox has migrated it. Upgrade this one',
      );
    }
    if (migration.checksum !== row.checksum) {
      throw new SchemaError(
        `migration ${row.name} is not the file that was applied to the database (its checksum differs); ` +
          'migrations are never edited. Restore the file, or the database, from the same release',
      );
    }
  }
  return known[applied.length] ?? null;
}

/**
 * Refuses a database this version cannot work with; changes nothing.
 *
 * @throws SchemaError naming what to run.
 */
export async function checkSchema(pool: Pool): Promise<void> {
  const known = await readMigrations();
  const next = nextMigration(known, await appliedMigrations(pool));
  if (next) {
    throw new SchemaError(
      `the database lacks migration ${next.name}; run \`inbox migrate\` against it first`,
    );
  }
}
