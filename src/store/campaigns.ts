/**
 * `inbox.campaigns`: bulk replays and their states. Their items are in `campaign-items.ts`.
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

/** A row of `inbox.campaigns`: everything about a campaign except its items. */
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
 * Creates a campaign and freezes its set of dead letters, oldest first, in one statement: later dead letters are not part
 * of it. Returns null and creates nothing if the filter matches no dead letter.
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

/** Returns the ids of the campaigns that need a running workflow. */
export async function listRunningCampaigns(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(`select id from inbox.campaigns where state = 'Running'`);
  return rows.map(({ id }) => id);
}

/** Newest first, at most `limit`. */
export async function listCampaigns(db: Queryable, limit: number): Promise<Campaign[]> {
  const { rows } = await db.query<Campaign>(
    `select ${CAMPAIGN_COLUMNS} from inbox.campaigns order by id desc limit $1`,
    [limit],
  );
  return rows;
}

/**
 * Reads everything that the campaign's next step depends on. The counts include only settled items; {@link settleItems}
 * updates them. Uses the partial indexes, so it costs the same for ten items and for a hundred thousand.
 */
export async function readCampaignSnapshot(db: Queryable, id: string): Promise<CampaignSnapshot | null> {
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

/** A state change: the states it starts from, the new state, and its action in the audit. */
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
 * Changes a campaign's state and adds an audit line. Returns false and changes nothing if the campaign is in none of the
 * `from` states, so a repeated request has no effect. After a resume, only newer failures are judged.
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

/** The audit lines of a campaign, oldest first. */
export async function listCampaignAudit(db: Queryable, id: string): Promise<AuditLine[]> {
  const { rows } = await db.query<AuditLine>(
    'select at, action, actor, reason, details from inbox.audit where campaign_id = $1 order by id',
    [id],
  );
  return rows;
}
