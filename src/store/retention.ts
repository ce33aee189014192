/**
 * What retention takes from entries and their failures. Reading is apart from taking: a page is read without any lock, and
 * what is taken is checked again. Every statement here touches at most one page of rows.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** What is due: rows that ended before `before`, which can only have ids below `below`. */
export interface Due {
  /** A `timestamptz` as Postgres writes it: a Date would cut its microseconds off. */
  before: string;
  below: string;
}

/** By the database's clock, which is the one that wrote the rows' times. */
export async function dueSince(db: Queryable, ageMs: number): Promise<Due> {
  const { rows } = await db.query<Due>(
    `select before::text, rpad(lpad(to_hex((extract(epoch from before) * 1000)::bigint), 12, '0'), 32, '0')::uuid as below
     from (select greatest(now() - $1::float8 * interval '1 millisecond', 'epoch') as before) as due`,
    [ageMs],
  );
  return rows[0]!;
}

/** Everything below was settled by earlier runs, but for what they noted in retention_left. */
export async function findSettledMark(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ mark: string }>('select settled_to as mark from inbox.retention');
  return rows[0]!.mark;
}

/** Until the transaction ends: the batches of two runs follow each other, so that they cannot wait in a circle. */
export async function lockRetention(tx: Queryable): Promise<void> {
  await tx.query('select inbox.lock_retention()');
}

/** Never back: another run may be further. */
export async function moveSettledMark(tx: Queryable, mark: string): Promise<void> {
  await tx.query('select inbox.move_settled_mark($1::uuid)', [mark]);
}

export interface AgedEntry {
  id: string;
  messageId: string;
  /** Completed long enough ago, and not pruned. */
  due: boolean;
  /** Pruned, or a dead letter that was discarded: nothing will ever be due here. */
  settled: boolean;
}

const AGED_ENTRY = `
  e.id, e.message_id as "messageId",
  e.status = 'Completed' and e.processed_at < $1::timestamptz and e.pruned_at is null as due,
  e.pruned_at is not null or (e.status = 'DeadLetter' and not exists (
    select from inbox.dead_letters d where d.message_id = e.message_id and d.resolution is null)) as settled`;

/** The next page of the primary key, up to where nothing can be due: an entry is not completed before it is received. */
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

/** The next page of what earlier runs left behind. */
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
 * The texts of failures, which may repeat what was in the payload: their types, times and counts stay. At most `limit`
 * of them; 0 when none is left. In order and waiting, because another run may be about to do the same.
 */
export async function emptyFailures(db: Queryable, messageIds: string[], limit: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'select inbox.empty_failures($1::text[], $2::integer) as count',
    [messageIds, limit],
  );
  return rows[0]!.count;
}

/** The ids of those that were emptied. A row that somebody else has locked is left for the next run. */
export async function pruneEntries(tx: Queryable, due: Due, ids: string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    'select inbox.prune_entries($1::uuid[], $2::timestamptz) as id',
    [ids, due.before],
  );
  return rows.map(({ id }) => id);
}

/** Notes what the mark is about to pass and no run has pruned. */
export async function noteLeft(tx: Queryable, ids: string[], mark: string): Promise<void> {
  await tx.query('select inbox.note_left($1::uuid[], $2::uuid)', [ids, mark]);
}

export async function forgetLeft(tx: Queryable, ids: string[]): Promise<void> {
  await tx.query('select inbox.forget_left($1::uuid[])', [ids]);
}
