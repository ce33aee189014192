/**
 * `inbox.campaign_items`: the frozen set of a campaign, and what became of each of it.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

export type ItemOutcome = 'completed' | 'failed' | 'skipped';

/** An item whose command is to be asked for its replay. */
export interface ItemToAsk {
  position: number;
  messageId: string;
  deadLetterId: string;
}

export interface Pace {
  count: number;
  windowMs: number;
}

/**
 * Locks the campaign until the transaction ends, so that of two activities which believe that the campaign is theirs one
 * counts after the other. False when it is not Running.
 */
export async function lockRunningCampaign(tx: Queryable, campaignId: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `select from inbox.campaigns where id = $1 and state = 'Running' for no key update`,
    [campaignId],
  );
  return rowCount === 1;
}

/** How many dead letters one look ahead skips at most. */
const LOOK_AHEAD = 100;

/**
 * The next items to ask for, noted as asked: at most `limit`, and no more than the pace leaves. Those before them whose
 * dead letter somebody else has resolved are skipped. For whoever holds the lock of {@link lockRunningCampaign}: the pace is
 * counted here, so that it holds also when a worker dies and another one goes on.
 */
export async function takeItems(
  tx: Queryable,
  campaignId: string,
  limit: number,
  { count, windowMs }: Pace,
): Promise<{ asked: ItemToAsk[]; skipped: number }> {
  const { rows } = await tx.query<ItemToAsk & { skipped: boolean }>(
    `with next as (
       select i.position, d.id is not null as open
       from (select position, dead_letter_id from inbox.campaign_items
             where campaign_id = $1 and asked_at is null and outcome is null order by position limit ${LOOK_AHEAD}) as i
       left join inbox.dead_letters d on d.id = i.dead_letter_id and d.resolution is null),
     room as (
       select greatest(0, least($2, $3 - count(*))) as places from inbox.campaign_items
       where campaign_id = $1 and asked_at > statement_timestamp() - $4::float8 * interval '1 millisecond'),
     asked as (
       update inbox.campaign_items i set asked_at = statement_timestamp()
       where campaign_id = $1 and position in (
         select position from next where open order by position limit (select places from room))
       returning i.position, i.message_id, i.dead_letter_id),
     skipped as (
       update inbox.campaign_items i set outcome = 'skipped', settled_at = statement_timestamp()
       from next where i.campaign_id = $1 and i.position = next.position and not next.open
       returning i.position, i.message_id, i.dead_letter_id),
     counted as (
       update inbox.campaigns set skipped = skipped + (select count(*) from skipped)
       where id = $1 and exists (select from skipped))
     select position, message_id as "messageId", dead_letter_id as "deadLetterId", false as skipped from asked
     union all select position, message_id, dead_letter_id, true from skipped`,
    [campaignId, limit, count, windowMs],
  );
  return {
    asked: rows.filter(({ skipped }) => !skipped),
    skipped: rows.filter(({ skipped }) => skipped).length,
  };
}

/**
 * Items that were asked for longer ago than this and not replayed, asked for anew: their signal, or the workflow that had
 * it, may be lost. Where it is not, the second one finds nothing to do.
 */
export async function takeUnheardItems(
  tx: Queryable,
  campaignId: string,
  ageMs: number,
): Promise<ItemToAsk[]> {
  const { rows } = await tx.query<ItemToAsk>(
    `update inbox.campaign_items i set asked_at = statement_timestamp()
     where campaign_id = $1 and asked_at is not null and outcome is null and replayed_at is null
       and asked_at < statement_timestamp() - $2::float8 * interval '1 millisecond'
       and exists (select from inbox.dead_letters d where d.id = i.dead_letter_id and d.resolution is null)
     returning position, message_id as "messageId", dead_letter_id as "deadLetterId"`,
    [campaignId, ageMs],
  );
  return rows;
}

/**
 * Writes down what became of the items in flight, from entries and dead letters alone. An item is the campaign's own where
 * `replayed_at` says so; one whose dead letter is resolved without that was somebody else's. The replay failed where its
 * generation has a dead letter, or is not the last one any more: also when somebody has replayed that one, too.
 *
 * How many it settled.
 */
export async function settleItems(db: Queryable, campaignId: string): Promise<number> {
  const { rowCount } = await db.query(
    `with seen as (
       select i.position, case
         when i.replayed_at is null then
           case when not exists (
             select from inbox.dead_letters d where d.id = i.dead_letter_id and d.resolution is null)
           then 'skipped' end
         when e.generation > i.generation + 1 or exists (
           select from inbox.dead_letters d where d.message_id = i.message_id and d.generation = i.generation + 1)
           then 'failed'
         when e.status = 'Completed' then 'completed' end as outcome
       from inbox.campaign_items i join inbox.entries e using (message_id)
       where i.campaign_id = $1 and i.asked_at is not null and i.outcome is null),
     settled as (
       update inbox.campaign_items i set outcome = seen.outcome, settled_at = statement_timestamp()
       from seen
       where i.campaign_id = $1 and i.position = seen.position and seen.outcome is not null and i.outcome is null
       returning i.outcome),
     counted as (
       update inbox.campaigns c
       set completed = c.completed + s.completed, failed = c.failed + s.failed, skipped = c.skipped + s.skipped
       from (select count(*) filter (where outcome = 'completed') as completed,
                    count(*) filter (where outcome = 'failed') as failed,
                    count(*) filter (where outcome = 'skipped') as skipped from settled) as s
       where c.id = $1 and exists (select from settled))
     select from settled`,
    [campaignId],
  );
  return rowCount ?? 0;
}

export interface FailedItem {
  messageId: string;
  failureGroup: string;
  error: string;
}

/** The items that failed last, with what they died of again, at most so many. */
export async function listFailedItems(
  db: Queryable,
  campaignId: string,
  limit: number,
): Promise<FailedItem[]> {
  const { rows } = await db.query<FailedItem>(
    `select i.message_id as "messageId", d.failure_group as "failureGroup", d.error
     from inbox.campaign_items i
     join inbox.dead_letters d on d.message_id = i.message_id and d.generation = i.generation + 1
     where i.campaign_id = $1 and i.outcome = 'failed'
     order by i.settled_at desc limit $2`,
    [campaignId, limit],
  );
  return rows;
}
