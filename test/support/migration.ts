/**
 * Migrations that tests write themselves.
 *
 * @module
 */
import { parseMigration } from '../../src/store/migration-files.ts';
import type { Migration } from '../../src/store/migration-files.ts';

/** The statements with a declaration at their end, so that the text of a test's migration is what the test says. */
export function migration(version: number, sql: string, { breaking = true } = {}): Migration {
  const name = `${String(version).padStart(4, '0')}_test.sql`;
  return parseMigration(version, name, `${sql}\n-- breaking: ${breaking}`);
}
