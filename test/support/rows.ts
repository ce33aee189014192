/**
 * Rows of a query.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Rows of one query, for tests that look into the tables. */
export async function rows<T extends object>(
  pool: Pool,
  sql: string,
  parameters: unknown[] = [],
): Promise<T[]> {
  const { rows: found } = await pool.query<T>(sql, parameters);
  return found;
}
