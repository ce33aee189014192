/**
 * Listening for notifications.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/**
 * LISTEN takes no parameters, so the channel has to be a plain identifier.
 *
 * @throws TypeError when it is not
 */
export async function listenTo(db: Queryable, channel: string): Promise<void> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(channel))
    throw new TypeError(`${JSON.stringify(channel)} is no plain identifier`);
  await db.query(`listen ${channel}`);
}

/** An answer, of whatever kind, shows that the connection is alive. */
export async function ping(db: Queryable): Promise<void> {
  await db.query('select 1');
}
