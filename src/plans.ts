/**
 * When a worker's connections begin to keep the plans of their statements. A plan made for a small table reads all of it,
 * and would go on to do so for a minute while the table grows; so they are kept once it is not small any more.
 *
 * @module
 */
import type { Pool } from 'pg';
import { prepareOn } from './prepared.ts';
import { entriesAreMany } from './store/starts.ts';

const LOOK_EVERY_MS = 1_000;

/** Looks until the table is large. Returns how to end it. */
export function prepareOnceLarge(pools: readonly Pool[], db: Pool): () => void {
  const timer = setInterval(() => void look(), LOOK_EVERY_MS).unref();
  const look = async () => {
    // Where Postgres is away, the next look finds out.
    if (!(await entriesAreMany(db).catch(() => false))) return;
    clearInterval(timer);
    for (const pool of pools) prepareOn(pool);
  };
  void look();
  return () => clearInterval(timer);
}
