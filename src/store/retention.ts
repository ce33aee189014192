/**
 * What retention takes from entries and their failures. Reading is apart from taking: a page is read without any lock, and
 * what is taken is checked again. Every statement here touches at most one page of rows.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

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
     from (select greatest(now() - $1 * interval '1 millisecond', 'epoch') as before) as due`,
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
  await tx.query('select from inbox.retention for update');
}

/** Never back: another run may be further. */
export async function moveSettledMark(tx: Queryable, mark: string): Promise<void> {
  await tx.query('update inbox.retention set settled_to = $1 where settled_to < $1', [mark]);
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
  const { rowCount } = await db.query(
    `with texts as materialized (
       select id from inbox.failures
       where message_id = any($1) and (stack is not null or error <> error_type)
       order by id limit $2 for update)
     update inbox.failures f set error = f.error_type, stack = null from texts where f.id = texts.id`,
    [messageIds, limit],
  );
  return rowCount ?? 0;
}

/** The ids of those that were emptied. A row that somebody else has locked is left for the next run. */
export async function pruneEntries(tx: Queryable, due: Due, ids: string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    `with due as materialized (
       select id from inbox.entries
       where id = any($1) and status = 'Completed' and processed_at < $2 and pruned_at is null
       for no key update skip locked)
     update inbox.entries e set payload = null, metadata = '{}', result = null, pruned_at = now()
     from due where e.id = due.id
     returning e.id`,
    [ids, due.before],
  );
  return rows.map(({ id }) => id);
}

/** Notes what the mark is about to pass and no run has pruned. */
export async function noteLeft(tx: Queryable, ids: string[], mark: string): Promise<void> {
  await tx.query(
    `insert into inbox.retention_left (entry_id)
     select id from inbox.entries where id = any($1) and id <= $2 and pruned_at is null
     on conflict do nothing`,
    [ids, mark],
  );
}

export async function forgetLeft(tx: Queryable, ids: string[]): Promise<void> {
  await tx.query('delete from inbox.retention_left where entry_id = any($1)', [ids]);
}
