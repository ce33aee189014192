/**
 * The id of the inbox behind a pool, read once.
 *
 * @module
 */
import type { Pool } from 'pg';
import { readInboxId } from './identity.ts';

const known = new WeakMap<Pool, Promise<string>>();

/** @throws what Postgres throws; the next call asks again */
export function inboxIdOf(pool: Pool): Promise<string> {
  const asked = known.get(pool) ?? readInboxId(pool);
  known.set(pool, asked);
  asked.catch(() => known.delete(pool));
  return asked;
}
