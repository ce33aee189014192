/**
 * Retention of resolved dead letters and published events. Works like `retention.ts`.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Due } from './retention.ts';

export interface AgedLetter {
  id: string;
  /**
   * Set for a discarded dead letter, whose entry is pruned with it. The failures of a replayed one are pruned with its
   * entry.
   */
  messageId: string | null;
  due: boolean;
}

/**
 * Reads the next page of resolved dead letters. A replayed one is due only after its command has ended: until then it
 * shows why the command was replayed.
 */
export async function walkResolvedLetters(
  db: Queryable,
  due: Due,
  after: string,
  limit: number,
): Promise<AgedLetter[]> {
  const { rows } = await db.query<AgedLetter>(
    `select d.id, case when d.resolution = 'discarded' then d.message_id end as "messageId",
            d.resolved_at < $1::timestamptz and (e.status = 'Completed' or (e.status = 'DeadLetter' and not exists (
              select from inbox.dead_letters o where o.message_id = e.message_id and o.resolution is null))) as due
     from inbox.dead_letters d join inbox.entries e using (message_id)
     where d.resolution is not null and d.pruned_at is null and d.id > $2 and d.id < $3
     order by d.id limit $4`,
    [due.before, after, due.below, limit],
  );
  return rows;
}

/** Deletes replayed dead letters. The audit keeps who replayed them, when and why. */
export async function deleteReplayedLetters(tx: Queryable, ids: string[]): Promise<number> {
  const { rows } = await tx.query<{ count: number }>('select inbox.delete_replayed($1::uuid[]) as count', [
    ids,
  ]);
  return rows[0]!.count;
}

/**
 * Prunes discarded dead letters together with their entries: both contain the same payload, and nothing will use it
 * again.
 */
export async function pruneDiscarded(tx: Queryable, ids: string[]): Promise<number> {
  const { rows } = await tx.query<{ count: number }>('select inbox.prune_discarded($1::uuid[]) as count', [
    ids,
  ]);
  return rows[0]!.count;
}

export interface AgedEvent {
  id: string;
  due: boolean;
}

/**
 * Reads the next page of the outbox, published or not. It uses the primary key, so that no index has to contain published
 * events.
 */
export async function walkOutbox(
  db: Queryable,
  due: Due,
  after: string,
  limit: number,
): Promise<AgedEvent[]> {
  const { rows } = await db.query<AgedEvent>(
    `select id, coalesce(published_at < $1::timestamptz, false) as due
     from inbox.outbox where id > $2 and id < $3 order by id limit $4`,
    [due.before, after, due.below, limit],
  );
  return rows;
}

export async function deletePublished(tx: Queryable, due: Due, ids: string[]): Promise<number> {
  const { rows } = await tx.query<{ count: number }>(
    'select inbox.delete_published($1::uuid[], $2::timestamptz) as count',
    [ids, due.before],
  );
  return rows[0]!.count;
}
