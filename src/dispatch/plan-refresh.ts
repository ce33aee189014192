/**
 * The plans of a worker's statements are kept by its connections: to plan the statements of an express command anew costs as
 * much as to run them. But a plan made for a small table reads all of it, and would go on to do so while the table grows.
 * So all plans are made anew once the table is not small any more.
 *
 * @module
 */
import type { Pool } from 'pg';
import { isPreparedOn, prepareOn } from '../platform/prepared-statements.ts';
import { entriesAreMany } from '../store/dispatch.ts';

const LOOK_EVERY_MS = 1_000;

/** Looks until the table is large. Returns how to end it. */
export function keepPlans(pools: readonly Pool[], db: Pool): () => void {
  for (const pool of pools) prepareOn(pool, 'small');
  const timer = setInterval(() => void look(), LOOK_EVERY_MS).unref();
  const look = async () => {
    // Where Postgres is away, the next look finds out.
    if (!(await entriesAreMany(db).catch(() => false))) return;
    clearInterval(timer);
    for (const pool of pools) if (isPreparedOn(pool)) prepareOn(pool, 'large');
  };
  void look();
  return () => clearInterval(timer);
}
