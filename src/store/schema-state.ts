/**
 * Compares the migrations of this package with those of a database: what is missing, and whether this release can work
 * with a newer schema.
 *
 * @module
 */
import { SchemaError } from '../core/errors.ts';
import { hasChecksum } from './migration-files.ts';
import type { Migration } from './migration-files.ts';
import type { AppliedMigration } from './migrations.ts';

export interface SchemaState {
  /** The highest version that was applied; 0 for a database without the schema. */
  version: number;
  /** Migrations of this package that the database lacks, in order. */
  missing: Migration[];
  /** Applied migrations of newer releases; none of them breaks this one. */
  newer: AppliedMigration[];
}

/**
 * @throws SchemaError when an applied migration differs from the file of the same number, when one is missing between
 *   applied ones, or when a newer release applied a migration that breaks this one
 */
export function compareSchema(
  known: readonly Migration[],
  applied: readonly AppliedMigration[],
): SchemaState {
  const version = applied.at(-1)?.version ?? 0;
  const byVersion = new Map(applied.map((row) => [row.version, row]));
  const missing = known.filter((migration) => !byVersion.has(migration.version));
  for (const migration of known) checkApplied(migration, byVersion.get(migration.version), version);
  const newer = applied.filter((row) => row.version > known.length);
  refuseBreaking(known.length, newer);
  return { version, missing, newer };
}

function checkApplied(migration: Migration, row: AppliedMigration | undefined, version: number): void {
  if (!row) {
    if (migration.version > version) return;
    throw new SchemaError(
      `inbox.migrations has no row for ${migration.name}, although later migrations were applied; ` +
        'restore the row, or the database, from a backup',
    );
  }
  if (hasChecksum(migration, row.checksum)) return;
  throw new SchemaError(
    `migration ${row.name} is not the file that was applied to the database (its checksum differs); ` +
      'migrations must not be edited. Restore the file or the database, so that both come from the same release',
  );
}

function refuseBreaking(knownVersion: number, newer: readonly AppliedMigration[]): void {
  const breaking = newer.filter((row) => row.breaking);
  if (breaking.length === 0) return;
  const names = breaking.map(({ name }) => name).join(', ');
  throw new SchemaError(
    `the database is at schema version ${newer.at(-1)!.version}, but this package only knows version ${knownVersion}; ` +
      `a newer temporal-inbox applied ${names}, which earlier releases cannot work with. ` +
      'Upgrade temporal-inbox here to the release that migrated the database',
  );
}

/** For `inbox doctor`. */
export function describeSchema({ version, newer }: SchemaState): string {
  if (newer.length === 0) return 'is up to date';
  return `is at version ${version}, newer than this package (version ${version - newer.length}) and compatible with it`;
}
