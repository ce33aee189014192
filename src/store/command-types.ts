/**
 * `inbox.command_types`: every command type that a worker has known.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { IS_ALIVE } from './workers.ts';

/** Records command types that a worker knows. They stay known when no worker that knows them is running. */
export async function noteCommandTypes(db: Queryable, commandTypes: readonly string[]): Promise<void> {
  await db.query(
    // In one order, so that two workers that start together cannot wait for each other. Usually nothing is new.
    `insert into inbox.command_types (command_type)
     select command_type from unnest($1::text[]) as given (command_type)
     where not exists (select from inbox.command_types known where known.command_type = given.command_type)
     order by 1 on conflict do nothing`,
    [commandTypes],
  );
}

/** Returns whether a worker knows this command type, or one has known it in the past. */
export async function isKnownCommandType(db: Queryable, commandType: string): Promise<boolean> {
  const { rows } = await db.query<{ known: boolean }>(
    `select exists (select from inbox.command_types where command_type = $1)
       or exists (select from inbox.workers where ${IS_ALIVE} and $1 = any (command_types)) as known`,
    [commandType],
  );
  return rows[0]!.known;
}
