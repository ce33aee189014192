/**
 * A worker's connections keep the query plans of their statements, because planning the statements of an express command
 * costs as much as running them. But a plan made for a small table reads the whole table, even after the table has grown. So
 * all statements are planned again once the table is no longer small.
 *
 * @module
 */
import type { Pool } from 'pg';
import { isPreparedOn, prepareOn } from '../platform/prepared-statements.ts';
import { entriesAreMany } from '../store/dispatch.ts';

const CHECK_INTERVAL_MS = 1_000;

/** Checks the size of the table until it is large. Returns a function that ends the checks. */
export function replanOnGrowth(pools: readonly Pool[], db: Pool): () => void {
  for (const pool of pools) prepareOn(pool, 'small');
  const timer = setInterval(() => void checkSize(), CHECK_INTERVAL_MS).unref();
  const checkSize = async () => {
    // If Postgres is unavailable, the next check tries again.
    if (!(await entriesAreMany(db).catch(() => false))) return;
    clearInterval(timer);
    for (const pool of pools) if (isPreparedOn(pool)) prepareOn(pool, 'large');
  };
  void checkSize();
  return () => clearInterval(timer);
}
