/**
 * Finds the indexes that a statement scans, also inside functions, whose plans EXPLAIN does not show.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { sqlState } from '../../src/platform/postgres.ts';

/**
 * Returns which of these indexes of the schema the statement scans, also inside functions. The tables may be empty: the
 * index that Postgres uses to look for a row does not depend on whether the row exists. Call it within a transaction; the
 * statement's changes are rolled back.
 */
export async function scannedIndexes(
  client: PoolClient,
  indexes: readonly string[],
  text: string,
  values: readonly unknown[],
): Promise<string[]> {
  const counts = async () => {
    const { rows } = await client.query<{ name: string; scans: number }>(
      `select name, pg_stat_get_xact_numscans(('inbox.' || name)::regclass)::float8 as scans from unnest($1::text[]) as name`,
      [indexes],
    );
    return new Map(rows.map(({ name, scans }) => [name, scans]));
  };
  const before = await counts();
  await client.query('savepoint calling; set local plan_cache_mode = force_generic_plan');
  await client.query(text, [...values]).catch((error: unknown) => {
    // "on conflict" fails if the test has dropped the unique index that it needs. It could not have used any other index.
    if (sqlState(error) !== '42P10') throw error;
  });
  await client.query('rollback to calling');
  const after = await counts();
  return indexes.filter((name) => after.get(name) !== before.get(name));
}

/** True if the statement only calls functions of the schema and uses none of its tables directly. */
export const callsFunction = (text: string) => !/\binbox\.\w+\b(?!\()/.test(text);
