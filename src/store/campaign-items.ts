/**
 * `inbox.campaign_items`: the frozen set of a campaign, and the outcome of each item.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

export type ItemOutcome = 'completed' | 'failed' | 'skipped';

/** An item whose replay is requested by a signal to the command's workflow. */
export interface ItemToReplay {
  position: number;
  messageId: string;
  commandType: string;
  deadLetterId: string;
}

/** At most `count` items per `windowMs`. */
export interface Pace {
  count: number;
  windowMs: number;
}

/**
 * Locks the campaign until the transaction ends. If two activities run for the same campaign, they count its items
 * one after the other. Returns false if the campaign is not Running.
 */
export async function lockRunningCampaign(tx: Queryable, campaignId: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `select from inbox.campaigns where id = $1 and state = 'Running' for no key update`,
    [campaignId],
  );
  return rowCount === 1;
}

const COMMAND_TYPE = '(select command_type from inbox.dead_letters d where d.id = dead_letter_id)';

/** How many items one call reads ahead, and therefore skips at most. */
const LOOK_AHEAD = 100;

/**
 * Takes the next items to replay and records when they were requested: at most `limit`, and no more than the pace allows.
 * Skips the items before them whose dead letter someone else resolved. Call it while holding the lock of
 * {@link lockRunningCampaign}. The pace is counted in the database, so it also holds when a worker dies and another one
 * continues.
 */
export async function takeItems(
  tx: Queryable,
  campaignId: string,
  limit: number,
  { count, windowMs }: Pace,
): Promise<{ asked: ItemToReplay[]; skipped: number }> {
  const { rows } = await tx.query<ItemToReplay & { skipped: boolean }>(
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
     select position, message_id as "messageId", ${COMMAND_TYPE} as "commandType", dead_letter_id as "deadLetterId",
            false as skipped
     from asked
     union all select position, message_id, null, dead_letter_id, true from skipped`,
    [campaignId, limit, count, windowMs],
  );
  return {
    asked: rows.filter(({ skipped }) => !skipped),
    skipped: rows.filter(({ skipped }) => skipped).length,
  };
}

/**
 * Takes items whose replay was requested longer ago than this and has not started, and records the new request: the signal,
 * or the workflow that received it, may be lost. If neither is lost, the second signal finds nothing to do.
 */
export async function takeUnansweredItems(
  tx: Queryable,
  campaignId: string,
  ageMs: number,
): Promise<ItemToReplay[]> {
  const { rows } = await tx.query<ItemToReplay>(
    `update inbox.campaign_items i set asked_at = statement_timestamp()
     where campaign_id = $1 and asked_at is not null and outcome is null and replayed_at is null
       and asked_at < statement_timestamp() - $2::float8 * interval '1 millisecond'
       and exists (select from inbox.dead_letters d where d.id = i.dead_letter_id and d.resolution is null)
     returning position, message_id as "messageId", ${COMMAND_TYPE} as "commandType", dead_letter_id as "deadLetterId"`,
    [campaignId, ageMs],
  );
  return rows;
}

/**
 * Records the outcome of the items in progress, using only entries and dead letters. `replayed_at` marks an item that this
 * campaign replayed. If a dead letter was resolved without that mark, someone else resolved it, and the item is skipped.
 * A replay has failed if its generation has a dead letter or is no longer the newest one, which means that someone
 * replayed that dead letter too.
 *
 * @returns how many items it settled
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

/** Returns the items that failed last, with the error of the failed replay; at most `limit`. */
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

/** Returns the campaign that replayed the entry's current generation, or null if none did. */
export async function findCampaignOf(
  db: Queryable,
  { messageId, generation }: { messageId: string; generation: number },
): Promise<string | null> {
  // A replay begins the generation after that of the dead letter.
  const { rows } = await db.query<{ campaignId: string }>(
    `select i.campaign_id as "campaignId"
     from inbox.dead_letters d join inbox.campaign_items i on i.dead_letter_id = d.id
     where d.message_id = $1 and d.generation = $2 - 1 and i.asked_at is not null
     order by i.asked_at desc limit 1`,
    [messageId, generation],
  );
  return rows[0]?.campaignId ?? null;
}
