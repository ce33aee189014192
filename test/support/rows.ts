/**
 * Queries of tests that look into the tables.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Runs a query and returns its rows. */
export async function rows<T extends object>(
  pool: Pool,
  sql: string,
  parameters: unknown[] = [],
): Promise<T[]> {
  const { rows: found } = await pool.query<T>(sql, parameters);
  return found;
}
