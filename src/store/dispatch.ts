/**
 * Entries whose workflow must be started or whose first attempt must run, for the relay, the reconciler and the recorder.
 * All three take entries under a lease (`relayed_at`), so several workers share the work, and a worker that dies only
 * delays it.
 *
 * Each scan takes the command types that the worker knows and a floor for each type, the time to start from: see
 * `floors.ts`. Never change a scan to start at the oldest end: while a session holds a snapshot open, it would walk over
 * every entry that was ever taken.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Json } from '../core/json.ts';
import { run, statement } from '../platform/prepared-statements.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import type { Entry } from './entries.ts';

/** How many entries of one command type to take, and from which time on. */
export interface TypeShare {
  type: string;
  /** Seconds since 1970 by the database's clock; -Infinity means no floor. */
  floor: number;
  /** At most this many rows. */
  most: number;
}

/** The data needed to start an entry's workflow, without the payload. */
export interface EntryToStart {
  messageId: string;
  commandType: string;
  correlationId: string | null;
}

/** The rows that one scan took. */
export interface Look<Row> {
  /** When the scan ran, by the database's clock, in seconds since 1970. */
  lookedAt: number;
  /** `at` is the time that the scan is ordered by, in seconds since 1970. */
  rows: (Row & { at: number })[];
}

/** Longer than any start takes. If the relay dies between taking and starting an entry, the entry waits this long. */
export const START_LEASE_MS = 15_000;

const TO_START = `message_id as "messageId", command_type as "commandType", correlation_id as "correlationId"`;
const ago = (ms: string | number) => `now() - ${ms}::float8 * interval '1 millisecond'`;
const NOT_TAKEN = `(relayed_at is null or relayed_at < ${ago(START_LEASE_MS)})`;

/**
 * Selects the ids of the oldest rows of each type, starting at its floor: one scan per type. Skips rows that another
 * worker is taking at the same time. Use it as an array, not as a join: the planner then looks up each row by its primary
 * key, however large the table is.
 *
 * @param first - number of the first of the three parameters that {@link sharesOf} returns
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

/** Returns the rows that the update took, and always at least one row, because the caller needs the database's time. */
const withDatabaseTime = (update: string, time: string, columns: string) => `
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
 * True if an entry's next attempt runs without a workflow. Replayed entries already have a workflow, and failed ones are
 * getting one. An entry whose claim was undone has neither failed nor a workflow.
 */
const EXPRESS = `(command_type = any ($4) and generation = 0 and retry_count = 0 and not needs_workflow)`;

/** Entries that only need a workflow start don't return their payload. */
const TAKEN_COLUMNS = ENTRY_COLUMNS.replace(
  'payload,',
  `case when status = 'Processing' then payload end as payload,`,
);

const TAKE_PENDING = statement(
  withDatabaseTime(
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
 * Takes the oldest Pending entries of each type that no other worker has taken. Entries of express types are claimed and
 * returned as Processing. The others are leased and returned as Pending, for their workflows to be started.
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

/** Releases the lease of entries whose workflows could not be started, so that they are taken again immediately. */
export async function releasePendingEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null where message_id = any ($1) and status::text = 'Pending'`,
    [messageIds],
  );
}

/** An attempt or a retry that is this late may have lost its workflow. Asking Temporal about it costs little. */
export const OVERDUE_AFTER_MS = 20_000;

/** The reasons why an entry may need its workflow started again, with the scan for each reason. */
const OVERDUE = {
  /** Its attempt started and has not ended. */
  processing: overdue(
    'claimed_at',
    `status = 'Processing' and claimed_at < ${ago(OVERDUE_AFTER_MS)}`,
    'claimed_at',
  ),
  /** Its next attempt is overdue. */
  failed: overdue(
    'next_retry_at',
    `status = 'Failed' and next_retry_at < ${ago(OVERDUE_AFTER_MS)}`,
    'next_retry_at',
  ),
  /**
   * Its express attempt failed, but the workflow that retries it was not started. The update overwrites the time that
   * this scan is ordered by, so it returns -infinity.
   */
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
    withDatabaseTime(
      `update inbox.entries set relayed_at = now() where id = any (${oldestOfEachType(scanTime, condition)})`,
      returnedTime,
      TO_START,
    ),
  );
}

/**
 * Takes entries of one kind that should have a running workflow but may have none. Only Temporal knows whether the
 * workflow exists.
 */
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

/** Records that the workflows exist. From now on, they process their entries, or are the record of Completed ones. */
export async function noteWorkflowsStarted(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await run(db, NOTE_STARTED, [messageIds]);
}

/** An entry that completed without a workflow, with the contents of its record. */
export interface EntryToRecord extends EntryToStart {
  processedAt: Date;
  /** Also null if the entry was pruned. */
  result: Json;
}

const TAKE_UNRECORDED = statement(
  withDatabaseTime(
    `update inbox.entries set relayed_at = now()
     where id = any (${oldestOfEachType('processed_at', `needs_workflow and status = 'Completed'`)})`,
    'processed_at',
    `${TO_START}, processed_at as "processedAt", result`,
  ),
);

/** Leases Completed entries whose record workflow no other worker is about to start. */
export function takeUnrecordedEntries(
  db: Queryable,
  shares: readonly TypeShare[],
): Promise<Look<EntryToRecord>> {
  return take<EntryToRecord>(db, TAKE_UNRECORDED, sharesOf(shares));
}

/** Releases the leases of these entries, so that the next worker doesn't have to wait for them to expire. */
export async function releaseUnrecordedEntries(db: Queryable, messageIds: readonly string[]): Promise<void> {
  await db.query(
    `update inbox.entries set relayed_at = null
     where message_id = any ($1) and needs_workflow and status::text = 'Completed'`,
    [messageIds],
  );
}

/**
 * From this many pages on (about 2,000 rows), every plan looks up rows by the index on their ids. With 14 pages and no
 * statistics yet, some plans still read the whole table, or all Processing entries.
 */
const MANY_PAGES = 64;

/** Returns true if the table is so large that a cached plan stays a good plan. The table never shrinks. */
export async function entriesAreMany(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ many: boolean }>(
    `select pg_relation_size('inbox.entries') >= $1 * current_setting('block_size')::bigint as many`,
    [MANY_PAGES],
  );
  return rows[0]!.many;
}
