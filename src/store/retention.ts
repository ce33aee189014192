/**
 * Retention of entries and their failures. Reading and pruning are separate: a page is read without any lock, and each
 * row is checked again when it is pruned. Every statement here touches at most one page of rows.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** The limit for rows that are due: they ended before `before`, so their ids are below `below`. */
export interface Due {
  /** A `timestamptz` as Postgres prints it: a Date would lose the microseconds. */
  before: string;
  below: string;
}

/** Uses the database's clock, which also set the times in the rows. */
export async function dueSince(db: Queryable, ageMs: number): Promise<Due> {
  const { rows } = await db.query<Due>(
    `select before::text, rpad(lpad(to_hex((extract(epoch from before) * 1000)::bigint), 12, '0'), 32, '0')::uuid as below
     from (select greatest(now() - $1::float8 * interval '1 millisecond', 'epoch') as before) as due`,
    [ageMs],
  );
  return rows[0]!;
}

/** Returns the mark: earlier runs have settled all entries up to it, except those noted in retention_left. */
export async function findSettledMark(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ mark: string }>('select settled_to as mark from inbox.retention');
  return rows[0]!.mark;
}

/** Locks until the transaction ends. The batches of concurrent runs take turns, so they cannot deadlock. */
export async function lockRetention(tx: Queryable): Promise<void> {
  await tx.query('select inbox.lock_retention()');
}

/** Never moves the mark back, because another run may have moved it further. */
export async function moveSettledMark(tx: Queryable, mark: string): Promise<void> {
  await tx.query('select inbox.move_settled_mark($1::uuid)', [mark]);
}

export interface AgedEntry {
  id: string;
  messageId: string;
  /** Completed before {@link Due.before}, and not pruned yet. */
  due: boolean;
  /** Pruned, or a discarded dead letter: it will never be due in this walk. */
  settled: boolean;
}

const AGED_ENTRY = `
  e.id, e.message_id as "messageId",
  e.status = 'Completed' and e.processed_at < $1::timestamptz and e.pruned_at is null as due,
  e.pruned_at is not null or (e.status = 'DeadLetter' and not exists (
    select from inbox.dead_letters d where d.message_id = e.message_id and d.resolution is null)) as settled`;

/**
 * Reads the next page in the order of the primary key, up to the id above which nothing can be due: an entry is received
 * before it completes.
 */
export async function walkEntries(
  db: Queryable,
  due: Due,
  after: string,
  limit: number,
): Promise<AgedEntry[]> {
  const { rows } = await db.query<AgedEntry>(
    `select ${AGED_ENTRY} from inbox.entries e where e.id > $2 and e.id < $3 order by e.id limit $4`,
    [due.before, after, due.below, limit],
  );
  return rows;
}

/** Reads the next page of entries that earlier runs left behind. */
export async function walkEntriesLeft(
  db: Queryable,
  due: Due,
  after: string,
  limit: number,
): Promise<AgedEntry[]> {
  const { rows } = await db.query<AgedEntry>(
    `select ${AGED_ENTRY} from inbox.retention_left l join inbox.entries e on e.id = l.entry_id
     where l.entry_id > $2 order by l.entry_id limit $3`,
    [due.before, after, limit],
  );
  return rows;
}

/**
 * Removes the texts of at most `limit` failures, because they may repeat parts of the payload; types, times and counts
 * remain. Returns how many it emptied; 0 when none is left. It locks the rows in order and waits for them, because
 * another run may be emptying the same failures.
 */
export async function emptyFailures(db: Queryable, messageIds: string[], limit: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'select inbox.empty_failures($1::text[], $2::integer) as count',
    [messageIds, limit],
  );
  return rows[0]!.count;
}

/** Returns the ids of the pruned entries. Entries that another transaction has locked are left for the next run. */
export async function pruneEntries(tx: Queryable, due: Due, ids: string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    'select inbox.prune_entries($1::uuid[], $2::timestamptz) as id',
    [ids, due.before],
  );
  return rows.map(({ id }) => id);
}

/** Notes the entries that the mark is about to pass although no run has pruned them. */
export async function noteLeft(tx: Queryable, ids: string[], mark: string): Promise<void> {
  await tx.query('select inbox.note_left($1::uuid[], $2::uuid)', [ids, mark]);
}

export async function forgetLeft(tx: Queryable, ids: string[]): Promise<void> {
  await tx.query('select inbox.forget_left($1::uuid[])', [ids]);
}
