/**
 * Entries that need their workflow started, or their first attempt run: for the relay, the reconciler and the recorder. All
 * take them under a lease (`relayed_at`), so that several workers share the work, and one that dies only delays it.
 *
 * Each scan names the command types it knows and where to start for each: see `floors.ts`. Never change one of these scans to
 * start at the oldest end: while a session holds a snapshot open, it would walk over everything that was ever taken.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Json } from '../core/json.ts';
import { run, statement } from '../platform/prepared-statements.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import type { Entry } from './entries.ts';

/** What to take of one command type. */
export interface TypeShare {
  type: string;
  /** Seconds since 1970 by the database's clock; -Infinity means no floor. */
  floor: number;
  /** At most this many rows. */
  most: number;
}

/** What is needed to start an entry's workflow; never the payload. */
export interface EntryToStart {
  messageId: string;
  commandType: string;
  correlationId: string | null;
}

/** The rows that a look has taken. */
export interface Look<Row> {
  /** The database's time of the look, in seconds since 1970. */
  lookedAt: number;
  /** `at`: the time that the scan is ordered by, in seconds since 1970. */
  rows: (Row & { at: number })[];
}

/** Longer than any start takes. An entry waits this long when its relay dies between taking and starting it. */
export const START_LEASE_MS = 15_000;

const TO_START = `message_id as "messageId", command_type as "commandType", correlation_id as "correlationId"`;
const ago = (ms: string | number) => `now() - ${ms}::float8 * interval '1 millisecond'`;
const NOT_TAKEN = `(relayed_at is null or relayed_at < ${ago(START_LEASE_MS)})`;

/**
 * The ids of the oldest rows of each type, from its floor on: one scan for each type. Rows that another worker is just
 * taking are passed over. Used as an array, not as a join: the planner then looks each row up by its primary key,
 * however large the table is.
 *
 * @param first - number of the first of the three parameters that {@link sharesOf} gives
 */
const oldestOfEachType = (time: string, condition: string, first = 1) => `
  array(
    select oldest.id
    from unnest($${first}::text[], $${first + 1}::float8[], $${first + 2}::integer[]) as known (type, floor, most)
    cross join lateral (
      select id from inbox.entries
      where ${condition} and command_type = known.type and ${time} >= to_timestamp(known.floor) and ${NOT_TAKEN}
      order by ${time} limit known.most
      for update skip locked) as oldest)`;

const sharesOf = (shares: readonly TypeShare[]): [string[], number[], number[]] => [
  shares.map(({ type }) => type),
  shares.map(({ floor }) => floor),
  shares.map(({ most }) => most),
];

/** What was taken, and always at least one row, because the caller needs the database's time. */
const look = (update: string, time: string, columns: string) => `
  with taken as (
    ${update}
    returning ${columns}, extract(epoch from ${time})::float8 as at)
  select extract(epoch from now())::float8 as "lookedAt", taken.*
  from (values (true)) as always left join taken on true`;

async function take<Row extends { messageId: string }>(
  db: Queryable,
  statementToRun: ReturnType<typeof statement>,
  parameters: unknown[],
): Promise<Look<Row>> {
  const { rows } = await run<Row & { at: number; lookedAt: number; messageId: string | null }>(
    db,
    statementToRun,
    parameters,
  );
  return { lookedAt: rows[0]!.lookedAt, rows: rows.filter(({ messageId }) => messageId !== null) };
}

/**
 * Whether an entry's next attempt runs without a workflow. One that was replayed has its workflow, and one that failed is to
 * get one. One whose attempt was given back has neither failed nor a workflow.
 */
const EXPRESS = `(command_type = any ($4) and generation = 0 and retry_count = 0 and not needs_workflow)`;

/** Entries that only need a workflow start don't return their payload. */
const TAKEN_COLUMNS = ENTRY_COLUMNS.replace(
  'payload,',
  `case when status = 'Processing' then payload end as payload,`,
);

const TAKE_PENDING = statement(
  look(
    `update inbox.entries set
       status = case when ${EXPRESS} then 'Processing' else status end,
       attempt = case when ${EXPRESS} then attempt + 1 else attempt end,
       claimed_at = case when ${EXPRESS} then now() else claimed_at end,
       relayed_at = case when ${EXPRESS} then null else now() end
     where id = any (${oldestOfEachType('received_at', `status = 'Pending'`)})`,
    'received_at',
    TAKEN_COLUMNS,
  ),
);

/**
 * The oldest Pending entries of each type that nobody has taken: those of express commands are claimed and come back
 * Processing, the others are leased and come back Pending, to be started.
 *
 * @param expressTypes - types whose first attempt needs no workflow
 */
export function takePendingEntries(
  db: Queryable,
  shares: readonly TypeShare[],
  expressTypes: readonly string[],
): Promise<Look<Entry>> {
  return take<Entry>(db, TAKE_PENDING, [...sharesOf(shares), expressTypes]);
}

/** Gives leased entries back at once, when their workflows could not be started. */
export async function releasePendingEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null where message_id = any ($1) and status::text = 'Pending'`,
    [messageIds],
  );
}

/** An attempt or a retry that is late by this much may have lost its workflow; asking Temporal costs little. */
export const OVERDUE_AFTER_MS = 20_000;

/** Why an entry may need its workflow started again, with the scan that finds it. */
const OVERDUE = {
  /** Its attempt was started and has not ended. */
  processing: overdue(
    'claimed_at',
    `status = 'Processing' and claimed_at < ${ago(OVERDUE_AFTER_MS)}`,
    'claimed_at',
  ),
  /** Its next attempt was due. */
  failed: overdue(
    'next_retry_at',
    `status = 'Failed' and next_retry_at < ${ago(OVERDUE_AFTER_MS)}`,
    'next_retry_at',
  ),
  /** Its express attempt failed, and the workflow that retries it was not started. The update changes the time of the scan. */
  handedOver: overdue(
    `coalesce(relayed_at, '-infinity')`,
    `needs_workflow and status <> 'Completed'`,
    `'-infinity'::timestamptz`,
  ),
} as const;

export type OverdueKind = keyof typeof OVERDUE;
export const OVERDUE_KINDS = Object.keys(OVERDUE) as OverdueKind[];

function overdue(scanTime: string, condition: string, returnedTime: string) {
  return statement(
    look(
      `update inbox.entries set relayed_at = now() where id = any (${oldestOfEachType(scanTime, condition)})`,
      returnedTime,
      TO_START,
    ),
  );
}

/** Entries of one kind that should have a workflow at work and may have none. Temporal knows whether it is there. */
export function takeOverdueEntries(
  db: Queryable,
  kind: OverdueKind,
  shares: readonly TypeShare[],
): Promise<Look<EntryToStart>> {
  return take<EntryToStart>(db, OVERDUE[kind], sharesOf(shares));
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
  look(
    `update inbox.entries set relayed_at = now()
     where id = any (${oldestOfEachType('processed_at', `needs_workflow and status = 'Completed'`)})`,
    'processed_at',
    `${TO_START}, processed_at as "processedAt", result`,
  ),
);

/** Completed entries whose record nobody is about to start, under a lease like the others. */
export function takeUnrecordedEntries(
  db: Queryable,
  shares: readonly TypeShare[],
): Promise<Look<EntryToRecord>> {
  return take<EntryToRecord>(db, TAKE_UNRECORDED, sharesOf(shares));
}

/** Gives taken entries back, so that the next worker need not wait for the end of the lease. */
export async function releaseUnrecordedEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null
     where message_id = any ($1) and needs_workflow and status::text = 'Completed'`,
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
