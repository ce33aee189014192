/**
 * Which indexes a statement scans, for calls of functions, whose plans EXPLAIN does not show.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { sqlState } from '../../src/platform/postgres.ts';

/**
 * Of these indexes of the schema the ones that the statement scans, also within functions. By which index a row is looked for does
 * not depend on whether it is there. Within a transaction; what the statement changes is rolled back.
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
    // "on conflict" needs a unique index that the test has dropped; what it can use is that index and nothing else.
    if (sqlState(error) !== '42P10') throw error;
  });
  await client.query('rollback to calling');
  const after = await counts();
  return indexes.filter((name) => after.get(name) !== before.get(name));
}

/** Whether the statement only calls functions of the schema, and reads none of its tables itself. */
export const callsFunction = (text: string) => !/\binbox\.\w+\b(?!\()/.test(text);
