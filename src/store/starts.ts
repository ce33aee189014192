/**
 * Entries that need their workflow started: for the relay, and for the reconciler. Both take them under a lease
 * (`relayed_at`), so that several workers share the work, and one that dies only delays it.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/** What the start of a workflow is told; never the payload. */
export interface EntryToStart {
  messageId: string;
  commandType: string;
  correlationId: string | null;
}

/** Longer than any start takes; so long an entry lies when its relay died between taking it and starting it. */
export const START_LEASE_MS = 15_000;

const TO_START = `message_id as "messageId", command_type as "commandType", correlation_id as "correlationId"`;
const NOT_TAKEN = `(relayed_at is null or relayed_at < now() - $2 * interval '1 millisecond')`;

/**
 * The oldest Pending entries that nobody has taken. Rows that another relay is just taking are passed over. An array,
 * not a join: the planner then looks each row up by its primary key, however large the table is.
 */
export async function takePendingEntries(db: Queryable, limit: number): Promise<EntryToStart[]> {
  const { rows } = await db.query<EntryToStart>(
    `update inbox.entries set relayed_at = now()
     where id = any (array(
       select id from inbox.entries
       where status = 'Pending' and ${NOT_TAKEN}
       order by received_at limit $1
       for update skip locked))
     returning ${TO_START}`,
    [limit, START_LEASE_MS],
  );
  return rows;
}

/** Gives them back at once, when Temporal could not be reached. */
export async function releasePendingEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null where message_id = any ($1) and status = 'Pending'`,
    [messageIds],
  );
}

/** An attempt or a retry that is late by this much may have lost its workflow; asking Temporal costs little. */
export const OVERDUE_AFTER_MS = 20_000;

/**
 * Processing and Failed entries whose time has passed, at most `limit` of each: a partial index for each of the two.
 * Their workflow may be alive and well: Temporal knows.
 */
export async function takeOverdueEntries(db: Queryable, limit: number): Promise<EntryToStart[]> {
  const { rows } = await db.query<EntryToStart>(
    `update inbox.entries set relayed_at = now()
     where id = any (array(
         select id from inbox.entries
         where status = 'Processing' and claimed_at < now() - $3 * interval '1 millisecond' and ${NOT_TAKEN}
         order by claimed_at limit $1
         for update skip locked))
       or id = any (array(
         select id from inbox.entries
         where status = 'Failed' and next_retry_at < now() - $3 * interval '1 millisecond' and ${NOT_TAKEN}
         order by next_retry_at limit $1
         for update skip locked))
     returning ${TO_START}`,
    [limit, OVERDUE_AFTER_MS, OVERDUE_AFTER_MS],
  );
  return rows;
}
