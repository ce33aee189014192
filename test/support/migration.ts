/**
 * Migrations for tests of the migration code.
 *
 * @module
 */
import { parseMigration } from '../../src/store/migration-files.ts';
import type { Migration } from '../../src/store/migration-files.ts';

/** Appends the `-- breaking: …` declaration to the test's statements. */
export function migration(version: number, sql: string, { breaking = true } = {}): Migration {
  const name = `${String(version).padStart(4, '0')}_test.sql`;
  return parseMigration(version, name, `${sql}\n-- breaking: ${breaking}`);
}
