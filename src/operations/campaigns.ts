/**
 * Bulk replays: what one would replay, how it is started, looked at and stopped. Looking needs Postgres alone.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { z } from 'zod';
import type { CampaignSnapshot, CampaignPlan } from '../core/campaign.ts';
import { messageOf } from '../platform/error-message.ts';
import { CampaignError, UnknownCampaignError } from '../core/errors.ts';
import { ABORT_SIGNAL, PAUSE_SIGNAL, RESUME_SIGNAL } from '../core/protocol.ts';
import type { CampaignState, OperatorNote } from '../core/protocol.ts';
import { askCampaign, startCampaignWorkflow } from '../temporal/signal-workflow.ts';
import { listFailedItems } from '../store/campaign-items.ts';
import type { FailedItem } from '../store/campaign-items.ts';
import {
  createCampaign,
  findCampaign,
  listCampaignAudit,
  listCampaigns as readCampaigns,
  lookAtCampaign,
} from '../store/campaigns.ts';
import type { Campaign } from '../store/campaigns.ts';
import { previewDeadLetters } from '../store/dead-letter-preview.ts';
import type { GroupPreview } from '../store/dead-letter-preview.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import type { AuditLine } from '../store/reports.ts';
import { isUuid } from '../core/text.ts';
import { ownerOf } from './replay-discard.ts';
import type { ActionAnswer, Operator } from './replay-discard.ts';

export const DEFAULT_PLAN: CampaignPlan = { canary: 5, rate: 20, concurrency: 10, stopAbove: 0.1 };

export interface ReplayPreview {
  total: number;
  /** When the first and the last of them died; null for none. */
  oldest: Date | null;
  newest: Date | null;
  /** By failure group and command type, the most frequent first. */
  groups: GroupPreview[];
}

/** What a campaign with this filter would replay if it were made now. */
export async function previewReplay(pool: Pool, filter: DeadLetterFilter): Promise<ReplayPreview> {
  const groups = await previewDeadLetters(pool, filter);
  const times = (pick: (group: GroupPreview) => Date) => groups.map((group) => pick(group).getTime());
  return {
    total: groups.reduce((sum, { count }) => sum + count, 0),
    oldest: groups.length === 0 ? null : new Date(Math.min(...times(({ oldest }) => oldest))),
    newest: groups.length === 0 ? null : new Date(Math.max(...times(({ newest }) => newest))),
    groups,
  };
}

export interface CampaignRequest extends Partial<CampaignPlan>, OperatorNote {
  filter: DeadLetterFilter;
}

const request = z.object({
  canary: z.int().min(0).max(100_000),
  rate: z.number().positive().max(10_000),
  concurrency: z.int().min(1).max(1_000),
  stopAbove: z.number().min(0).max(1),
  actor: z.string().min(1).max(200),
  reason: z.string().max(2_000).nullable(),
});

/**
 * Freezes the set of open dead letters that the filter finds, and starts their replay.
 *
 * @throws CampaignError when the plan makes no sense, the filter finds nothing, or the workflow could not be started: then the
 *   campaign is there, and a worker that reaches Temporal starts it
 */
export async function startCampaign(
  operator: Operator,
  { filter, actor = 'operations', reason, ...plan }: CampaignRequest,
): Promise<Campaign> {
  const parsed = request.safeParse({ ...DEFAULT_PLAN, ...plan, actor, reason: reason ?? null });
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new CampaignError(null, `${issue.path.join('.')}: ${issue.message}; nothing was started`);
  }
  const campaign = await createCampaign(operator.pool, { ...parsed.data, filter });
  if (!campaign) throw new CampaignError(null, 'no open dead letter fits the filter; nothing was started');
  try {
    await startCampaignWorkflow(await ownerOf(operator), campaign.id);
  } catch (error) {
    throw new CampaignError(
      campaign.id,
      `is made, but its workflow could not be started (${messageOf(error)}): a worker starts it within half a minute, once it ` +
        `reaches Temporal; \`inbox campaigns abort ${campaign.id}\` gives it up`,
    );
  }
  return campaign;
}

/** Newest first. */
export function listCampaigns(pool: Pool, limit = 20): Promise<Campaign[]> {
  return readCampaigns(pool, limit);
}

export interface CampaignStory {
  campaign: Campaign;
  look: CampaignSnapshot;
  /** What failed last. */
  failures: FailedItem[];
  audit: AuditLine[];
}

/**
 * All that is known of one campaign.
 *
 * @throws UnknownCampaignError
 */
export async function showCampaign(pool: Pool, id: string, failureLimit = 10): Promise<CampaignStory> {
  const [campaign, look, failures, audit] = await Promise.all([
    existing(pool, id),
    lookAtCampaign(pool, id),
    listFailedItems(pool, id, failureLimit),
    listCampaignAudit(pool, id),
  ]);
  return { campaign, look: look!, failures, audit };
}

/**
 * How far a campaign is.
 *
 * @throws UnknownCampaignError
 */
export async function campaignProgress(pool: Pool, id: string): Promise<CampaignSnapshot> {
  const look = isUuid(id) ? await lookAtCampaign(pool, id) : null;
  if (!look) throw new UnknownCampaignError(id);
  return look;
}

/**
 * Nothing more is replayed until it is resumed; what is under way goes on.
 *
 * @throws UnknownCampaignError, CampaignError
 */
export function pauseCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, PAUSE_SIGNAL, note, ['Running'], ['Paused']);
}

/**
 * Goes on, with a canary as at the beginning, and judges failures from here on. Also starts a campaign again whose workflow is
 * gone.
 *
 * @throws UnknownCampaignError, CampaignError
 */
export function resumeCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, RESUME_SIGNAL, note, ['Paused', 'Running'], ['Running', 'Finished']);
}

/**
 * Ends it for good; what is left stays a dead letter.
 *
 * @throws UnknownCampaignError, CampaignError
 */
export function abortCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, ABORT_SIGNAL, note, ['Running', 'Paused'], ['Aborted']);
}

/** Until Postgres says that the campaign has one of the states, or the time is over. */
async function change(
  operator: Operator,
  id: string,
  signal: string,
  note: OperatorNote,
  from: readonly CampaignState[],
  to: readonly CampaignState[],
): Promise<ActionAnswer> {
  const { state } = await existing(operator.pool, id);
  if (!from.includes(state)) throw new CampaignError(id, `is ${state}; nothing was changed`);
  await askCampaign(await ownerOf(operator), id, signal, note);
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const now = await existing(operator.pool, id);
    if (to.includes(now.state)) return 'done';
    if (now.state !== state) throw new CampaignError(id, `is ${now.state} by now; nothing was changed`);
    if (Date.now() > deadline) return 'pending';
    await sleep(100);
  }
}

export interface FollowOptions {
  onProgress?: (look: CampaignSnapshot) => void;
  /** Ends the following, not the campaign. */
  signal?: AbortSignal;
  intervalMs?: number;
}

/**
 * Looks at a campaign until it is Paused or over. What was under way when it was paused may go on.
 *
 * @returns how it stood at the last look
 * @throws UnknownCampaignError
 */
export async function followCampaign(
  pool: Pool,
  id: string,
  options: FollowOptions = {},
): Promise<CampaignSnapshot> {
  for (;;) {
    const look = await campaignProgress(pool, id);
    options.onProgress?.(look);
    if (look.state !== 'Running' || options.signal?.aborted) return look;
    await sleep(options.intervalMs ?? 250, undefined, {
      ...(options.signal && { signal: options.signal }),
    }).catch(() => {});
  }
}

async function existing(pool: Pool, id: string): Promise<Campaign> {
  const campaign = isUuid(id) ? await findCampaign(pool, id) : null;
  if (!campaign) throw new UnknownCampaignError(id);
  return campaign;
}
