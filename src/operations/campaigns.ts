/**
 * Campaigns (bulk replays): preview, start, show, pause, resume and abort. Preview and show only need Postgres.
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
import { signalCampaign, startCampaignWorkflow } from '../temporal/signal-workflow.ts';
import { listFailedItems } from '../store/campaign-items.ts';
import type { FailedItem } from '../store/campaign-items.ts';
import {
  createCampaign,
  findCampaign,
  listCampaignAudit,
  listCampaigns as readCampaigns,
  readCampaignSnapshot,
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
  /** When the first and the last of them became dead letters; null if there are none. */
  oldest: Date | null;
  newest: Date | null;
  /** By failure group and command type, most frequent first. */
  groups: GroupPreview[];
}

/** Shows what a campaign with this filter would replay if it started now. */
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
 * Creates a campaign for the open dead letters that match the filter now, and starts to replay them.
 *
 * @throws CampaignError when the plan is invalid, when no dead letter matches, or when the workflow could not be started. In
 *   the last case the campaign exists, and a worker that reaches Temporal starts it
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
  if (!campaign) throw new CampaignError(null, 'no open dead letter matches the filter; nothing was started');
  try {
    await startCampaignWorkflow(await ownerOf(operator), campaign.id);
  } catch (error) {
    throw new CampaignError(
      campaign.id,
      `was created, but its workflow could not be started (${messageOf(error)}): a worker starts it within 30 seconds after it ` +
        `reaches Temporal; \`inbox campaigns abort ${campaign.id}\` ends it`,
    );
  }
  return campaign;
}

/** Lists campaigns, newest first. */
export function listCampaigns(pool: Pool, limit = 20): Promise<Campaign[]> {
  return readCampaigns(pool, limit);
}

export interface CampaignStory {
  campaign: Campaign;
  look: CampaignSnapshot;
  /** The latest failures. */
  failures: FailedItem[];
  audit: AuditLine[];
}

/**
 * Shows everything about one campaign.
 *
 * @throws UnknownCampaignError when no campaign has this id
 */
export async function showCampaign(pool: Pool, id: string, failureLimit = 10): Promise<CampaignStory> {
  const [campaign, snapshot, failures, audit] = await Promise.all([
    requireCampaign(pool, id),
    readCampaignSnapshot(pool, id),
    listFailedItems(pool, id, failureLimit),
    listCampaignAudit(pool, id),
  ]);
  return { campaign, look: snapshot!, failures, audit };
}

/**
 * Shows the progress of a campaign.
 *
 * @throws UnknownCampaignError when no campaign has this id
 */
export async function campaignProgress(pool: Pool, id: string): Promise<CampaignSnapshot> {
  const snapshot = isUuid(id) ? await readCampaignSnapshot(pool, id) : null;
  if (!snapshot) throw new UnknownCampaignError(id);
  return snapshot;
}

/**
 * Pauses a campaign: it starts no more replays until it is resumed. Running replays continue.
 *
 * @throws UnknownCampaignError when no campaign has this id; CampaignError when the campaign is not Running;
 *   WorkflowIdTakenError when another workflow in the namespace uses the campaign's workflow ID
 */
export function pauseCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, PAUSE_SIGNAL, note, ['Running'], ['Paused']);
}

/**
 * Resumes a campaign with a new canary; earlier failures no longer count. Also restarts a campaign whose workflow no longer
 * exists.
 *
 * @throws UnknownCampaignError when no campaign has this id; CampaignError when the campaign has ended; WorkflowIdTakenError
 *   when another workflow in the namespace uses the campaign's workflow ID
 */
export function resumeCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, RESUME_SIGNAL, note, ['Paused', 'Running'], ['Running', 'Finished']);
}

/**
 * Ends a campaign permanently. Dead letters that it has not replayed stay open.
 *
 * @throws UnknownCampaignError when no campaign has this id; CampaignError when the campaign has ended; WorkflowIdTakenError
 *   when another workflow in the namespace uses the campaign's workflow ID
 */
export function abortCampaign(
  operator: Operator,
  id: string,
  note: OperatorNote = {},
): Promise<ActionAnswer> {
  return change(operator, id, ABORT_SIGNAL, note, ['Running', 'Paused'], ['Aborted']);
}

/** Signals the campaign, then waits until Postgres has one of the states `to`, or until the time limit. */
async function change(
  operator: Operator,
  id: string,
  signal: string,
  note: OperatorNote,
  from: readonly CampaignState[],
  to: readonly CampaignState[],
): Promise<ActionAnswer> {
  const { state } = await requireCampaign(operator.pool, id);
  if (!from.includes(state)) throw new CampaignError(id, `is ${state}; nothing was changed`);
  await signalCampaign(await ownerOf(operator), id, signal, note);
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const now = await requireCampaign(operator.pool, id);
    if (to.includes(now.state)) return 'done';
    if (now.state !== state) throw new CampaignError(id, `is now ${now.state}; nothing was changed`);
    if (Date.now() > deadline) return 'pending';
    await sleep(100);
  }
}

export interface FollowOptions {
  onProgress?: (snapshot: CampaignSnapshot) => void;
  /** Stops following. The campaign continues. */
  signal?: AbortSignal;
  /** Time between two polls. Default 250 ms. */
  intervalMs?: number;
}

/**
 * Polls a campaign until it is paused or has ended. Replays that were running when it was paused may still continue.
 *
 * @returns the last snapshot
 * @throws UnknownCampaignError when no campaign has this id
 */
export async function followCampaign(
  pool: Pool,
  id: string,
  options: FollowOptions = {},
): Promise<CampaignSnapshot> {
  for (;;) {
    const snapshot = await campaignProgress(pool, id);
    options.onProgress?.(snapshot);
    if (snapshot.state !== 'Running' || options.signal?.aborted) return snapshot;
    await sleep(options.intervalMs ?? 250, undefined, {
      ...(options.signal && { signal: options.signal }),
    }).catch(() => {});
  }
}

async function requireCampaign(pool: Pool, id: string): Promise<Campaign> {
  const campaign = isUuid(id) ? await findCampaign(pool, id) : null;
  if (!campaign) throw new UnknownCampaignError(id);
  return campaign;
}
