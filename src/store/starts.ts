/**
 * Entries that need their workflow started, or their first attempt run: for the relay, and for the reconciler. Both take
 * them under a lease (`relayed_at`), so that several workers share the work, and one that dies only delays it.
 *
 * @module
 */
import type { Queryable } from '../database.ts';
import type { Json } from '../json.ts';
import { run, statement } from '../prepared.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import type { Entry } from './entries.ts';

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

/** Which Pending entries to take. */
export interface Room {
  limit: number;
  /** Types whose first attempt needs no workflow. */
  expressTypes: readonly string[];
  /** Default: both lanes, in the order of their coming. */
  lane?: 'express' | 'workflow';
}

export interface TakenEntries {
  toStart: EntryToStart[];
  /** Claimed for their first attempt, in this process. */
  claimed: Entry[];
}

/** An entry that was tried before has its workflow. */
const EXPRESS = `(command_type = any ($3) and attempt = 0)`;

/** Of an entry whose workflow is only started the payload stays where it is. */
const TAKEN_COLUMNS = ENTRY_COLUMNS.replace(
  'payload,',
  `case when status = 'Processing' then payload end as payload,`,
);

const TAKE_PENDING = statement(
  `update inbox.entries set
     status = case when ${EXPRESS} then 'Processing' else status end,
     attempt = case when ${EXPRESS} then 1 else attempt end,
     claimed_at = case when ${EXPRESS} then now() else claimed_at end,
     relayed_at = case when ${EXPRESS} then null else now() end
   where id = any (array(
     select id from inbox.entries
     where status = 'Pending' and ${NOT_TAKEN} and ($4::boolean is null or $4 = ${EXPRESS})
     order by received_at limit $1
     for update skip locked))
   returning ${TAKEN_COLUMNS}`,
);

/**
 * The oldest Pending entries that nobody has taken: those of express commands are claimed, the others leased. Rows that
 * another relay is just taking are passed over. An array, not a join: the planner then looks each row up by its primary
 * key, however large the table is.
 */
export async function takePendingEntries(db: Queryable, room: Room): Promise<TakenEntries> {
  const lane = room.lane === undefined ? null : room.lane === 'express';
  const { rows } = await run<Entry>(db, TAKE_PENDING, [room.limit, START_LEASE_MS, room.expressTypes, lane]);
  return {
    toStart: rows.filter(({ status }) => status === 'Pending'),
    claimed: rows.filter(({ status }) => status === 'Processing'),
  };
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
 * Entries that should have a workflow at work and may have none, at most `limit` of each kind: Processing and Failed ones
 * whose time has passed, and those that an express attempt left behind. A partial index for each of the three.
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
       or id = any (array(
         select id from inbox.entries
         where needs_workflow and status <> 'Completed' and ${NOT_TAKEN}
         order by relayed_at limit $1
         for update skip locked))
     returning ${TO_START}`,
    [limit, START_LEASE_MS, OVERDUE_AFTER_MS],
  );
  return rows;
}

const NOTE_STARTED = statement(
  `update inbox.entries set needs_workflow = false where message_id = any ($1) and needs_workflow`,
);

/** Their workflow is there: from now on it moves them, or is the record of what is Completed. */
export async function noteWorkflowsStarted(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await run(db, NOTE_STARTED, [messageIds]);
}

/** An entry that completed without a workflow, and what its record says. */
export interface EntryToRecord extends EntryToStart {
  processedAt: Date;
  /** Null also where it was pruned. */
  result: Json;
}

const TAKE_UNRECORDED = statement(
  `update inbox.entries set relayed_at = now()
   where id = any (array(
     select id from inbox.entries
     where needs_workflow and status = 'Completed' and ${NOT_TAKEN}
     order by relayed_at limit $1
     for update skip locked))
   returning ${TO_START}, processed_at as "processedAt", result`,
);

/** Completed entries whose record nobody is about to start, at most `limit`, under a lease like the others. */
export async function takeUnrecordedEntries(db: Queryable, limit: number): Promise<EntryToRecord[]> {
  const { rows } = await run<EntryToRecord>(db, TAKE_UNRECORDED, [limit, START_LEASE_MS]);
  return rows;
}

/** For whoever took them and lets go of them: the next one need not wait for the end of the lease. */
export async function releaseUnrecordedEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null
     where message_id = any ($1) and needs_workflow and status = 'Completed'`,
    [messageIds],
  );
}

/**
 * From this many pages on, some 2,000 rows, all plans look rows up by the index of their ids. At 14 pages, without statistics
 * yet, some still read all of the table, or all that is Processing.
 */
const MANY_PAGES = 64;

/** Whether the table is so large that a plan which is kept will stay a good one. It never shrinks. */
export async function entriesAreMany(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ many: boolean }>(
    `select pg_relation_size('inbox.entries') >= $1 * current_setting('block_size')::bigint as many`,
    [MANY_PAGES],
  );
  return rows[0]!.many;
}
