/**
 * The id of the inbox behind a pool, read once per pool.
 *
 * @module
 */
import type { Pool } from 'pg';
import { readInboxId } from './identity.ts';

const ids = new WeakMap<Pool, Promise<string>>();

/** @throws what Postgres throws; the next call tries again */
export function inboxIdOf(pool: Pool): Promise<string> {
  const id = ids.get(pool) ?? readInboxId(pool);
  ids.set(pool, id);
  id.catch(() => ids.delete(pool));
  return id;
}
