/**
 * `inbox.identity`: which inbox a database holds.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** Returns the id of the inbox, a uuid that stays the same when the database moves. */
export async function readInboxId(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ id: string }>('select id::text from inbox.identity');
  return rows[0]!.id;
}
