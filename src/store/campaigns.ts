/**
 * `inbox.campaigns`: bulk replays, and their states. What they replay is in `campaign-items.ts`.
 *
 * @module
 */
import type { CampaignSnapshot, CampaignPlan } from '../core/campaign.ts';
import { JUDGED_AT_MOST } from '../core/campaign.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { JsonObject } from '../core/json.ts';
import type { CampaignState } from '../core/protocol.ts';
import type { DeadLetterFilter } from './dead-letter-filter.ts';
import { FILTER_CONDITION, filterParameters } from './dead-letter-filter.ts';
import type { AuditLine } from './reports.ts';

/** What is known of a campaign without a look at its items. */
export interface Campaign extends CampaignPlan {
  id: string;
  createdAt: Date;
  actor: string;
  reason: string | null;
  filter: JsonObject;
  state: CampaignState;
  stateReason: string | null;
  endedAt: Date | null;
  total: number;
  completed: number;
  failed: number;
  skipped: number;
}

const CAMPAIGN_COLUMNS = `
  id, created_at as "createdAt", actor, reason, filter, canary, rate, concurrency, stop_above as "stopAbove", state,
  state_reason as "stateReason", ended_at as "endedAt", total, completed, failed, skipped`;

export interface NewCampaign extends CampaignPlan {
  actor: string;
  reason: string | null;
  filter: DeadLetterFilter;
}

/**
 * Makes a campaign and freezes its set, the oldest dead letters first, in one statement: what dies later is not in it. Null,
 * and nothing was made, where the filter finds none.
 */
export async function createCampaign(db: Queryable, campaign: NewCampaign): Promise<Campaign | null> {
  const filter = filterParameters(campaign.filter);
  const $ = (index: number) => `$${filter.length + index}`;
  const { rows } = await db.query<Campaign>(
    `with chosen as (
       select id, message_id, generation, row_number() over (order by dead_at, id) as position
       from inbox.dead_letters where resolution is null and ${FILTER_CONDITION}),
     campaign as (
       insert into inbox.campaigns (actor, reason, filter, canary, rate, concurrency, stop_above, total)
       select ${$(1)}::text, ${$(2)}::text, ${$(3)}::jsonb, ${$(4)}::integer, ${$(5)}::float8, ${$(6)}::integer,
              ${$(7)}::float8, count(*)
       from chosen having count(*) > 0
       returning *),
     items as (
       insert into inbox.campaign_items (campaign_id, position, dead_letter_id, message_id, generation)
       select campaign.id, chosen.position, chosen.id, chosen.message_id, chosen.generation from campaign, chosen)
     select ${CAMPAIGN_COLUMNS} from campaign`,
    [
      ...filter,
      campaign.actor,
      campaign.reason,
      JSON.stringify(campaign.filter),
      campaign.canary,
      campaign.rate,
      campaign.concurrency,
      campaign.stopAbove,
    ],
  );
  return rows[0] ?? null;
}

export async function findCampaign(db: Queryable, id: string): Promise<Campaign | null> {
  const { rows } = await db.query<Campaign>(`select ${CAMPAIGN_COLUMNS} from inbox.campaigns where id = $1`, [
    id,
  ]);
  return rows[0] ?? null;
}

/** Ids of those that a workflow has to move. */
export async function listRunningCampaigns(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(`select id from inbox.campaigns where state = 'Running'`);
  return rows.map(({ id }) => id);
}

/** Newest first, at most so many. */
export async function listCampaigns(db: Queryable, limit: number): Promise<Campaign[]> {
  const { rows } = await db.query<Campaign>(
    `select ${CAMPAIGN_COLUMNS} from inbox.campaigns order by id desc limit $1`,
    [limit],
  );
  return rows;
}

/**
 * All that the next step depends on. Its figures are those that were settled by now; {@link settleItems} brings them up to
 * date. Through the partial indexes, so that it costs the same for ten items and for a hundred thousand.
 */
export async function lookAtCampaign(db: Queryable, id: string): Promise<CampaignSnapshot | null> {
  const { rows } = await db.query<CampaignSnapshot>(
    `select c.id, c.state, c.state_reason as "stateReason", c.actor, c.reason, c.canary, c.rate, c.concurrency,
            c.stop_above as "stopAbove", c.total, c.completed, c.failed, c.skipped,
            in_flight.all_of_them as "inFlight", in_flight.retrying,
            json_build_object('settled', judged.settled, 'failed', judged.failed, 'inFlight', in_flight.to_judge) as judged
     from inbox.campaigns c,
       lateral (
         select count(*)::integer as all_of_them,
                count(*) filter (where e.status = 'Failed')::integer as retrying,
                count(*) filter (where i.position >= c.judged_from)::integer as to_judge
         from inbox.campaign_items i join inbox.entries e using (message_id)
         where i.campaign_id = c.id and i.asked_at is not null and i.outcome is null) as in_flight,
       lateral (
         select count(*)::integer as settled, count(*) filter (where outcome = 'failed')::integer as failed
         from (select outcome from inbox.campaign_items i
               where i.campaign_id = c.id and i.outcome in ('completed', 'failed')
                 and i.settled_at >= c.judged_since and i.position >= c.judged_from
               order by i.settled_at desc limit greatest($2, c.canary)) as latest) as judged
     where c.id = $1`,
    [id, JUDGED_AT_MOST],
  );
  return rows[0] ?? null;
}

/** A state change: from which states, to which, and what the audit calls it. */
export interface CampaignChange {
  action: string;
  from: readonly CampaignState[];
  to: CampaignState;
}

export interface ChangeNote {
  actor: string;
  reason: string | null;
}

/**
 * Changes a campaign's state, with its line in the audit. False, and nothing was changed, when it is in none of the states
 * to start from: so the same change is made once, however often it is asked for. From a resume on failures are judged anew.
 */
export async function changeCampaign(
  db: Queryable,
  id: string,
  { action, from, to }: CampaignChange,
  { actor, reason }: ChangeNote,
): Promise<boolean> {
  const { rows } = await db.query<{ changed: boolean }>(
    'select inbox.change_campaign($1::uuid, $2::text[], $3::text, $4::text, $5::text, $6::text) as changed',
    [id, from, to, action, actor, reason],
  );
  return rows[0]!.changed;
}

/** What was done to a campaign, oldest first. */
export async function listCampaignAudit(db: Queryable, id: string): Promise<AuditLine[]> {
  const { rows } = await db.query<AuditLine>(
    'select at, action, actor, reason, details from inbox.audit where campaign_id = $1 order by id',
    [id],
  );
  return rows;
}
