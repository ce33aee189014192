/**
 * What a campaign does: replays some of its items, and changes its state. All of it is decided by what is in Postgres, so
 * each of these may be run again, or by two workers at once, and every item is replayed once.
 *
 * @module
 */
import { activityInfo, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { failureShare, nextStep, pace, percent } from '../src/core/campaign.ts';
import type { CampaignSnapshot, CampaignStep } from '../src/core/campaign.ts';
import { withTransaction } from '../src/platform/postgres.ts';
import type { CampaignAnswer, CampaignChangeInput, CampaignInput } from '../src/core/activity-messages.ts';
import { FAILURE, REPLAY_SIGNAL } from '../src/core/protocol.ts';
import { askCommand } from '../src/temporal/signal-workflow.ts';
import { listFailedItems, lockRunningCampaign, settleItems } from '../src/store/campaign-items.ts';
import { takeItems, takeUnheardItems } from '../src/store/campaign-items.ts';
import type { ItemToAsk } from '../src/store/campaign-items.ts';
import { changeCampaign, lookAtCampaign } from '../src/store/campaigns.ts';
import type { CampaignChange } from '../src/store/campaigns.ts';
import { TakenIds } from '../src/temporal/taken-ids.ts';
import { isUuid, limitBytes } from '../src/core/text.ts';
import { retryWhenDatabaseUnavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { parseNote } from '../src/operations/operator-request.ts';

/** So long one activity works at most: short beside the grace time of a shutdown, long beside what it costs Temporal. */
const ROUND_MS = 8_000;
/** After so long without anything to do, the waiting is left to the workflow, whose timer costs nobody a slot. */
const IDLE_MS = 2_000;
const LOOK_INTERVAL_MS = 100;
/** A replay that was asked for this long ago and has not begun may be lost. */
const UNHEARD_MS = 30_000;
/** Who acts when the campaign does. */
const CAMPAIGN_ACTOR = 'inbox';

const CHANGES: Record<CampaignChangeInput['change'], CampaignChange> = {
  pause: { action: 'campaign-paused', from: ['Running'], to: 'Paused' },
  stop: { action: 'campaign-paused', from: ['Running'], to: 'Paused' },
  resume: { action: 'campaign-resumed', from: ['Paused'], to: 'Running' },
  abort: { action: 'campaign-aborted', from: ['Running', 'Paused'], to: 'Aborted' },
  finish: { action: 'campaign-finished', from: ['Running'], to: 'Finished' },
};

export function createCampaignActivities(dependencies: ActivityDependencies) {
  const { records, log } = dependencies;
  const taken = new TakenIds(log);
  return {
    /** How the campaign stands. */
    async lookAtCampaign(input: CampaignInput): Promise<CampaignSnapshot> {
      const campaignId = campaignIdOf(input);
      await retryWhenDatabaseUnavailable(settleItems(records, campaignId));
      return look(dependencies, campaignId);
    },

    /** Replays items for a while, as many as plan and outcomes allow, and says how the campaign stands then. */
    async replayItems(input: CampaignInput): Promise<CampaignSnapshot> {
      const campaignId = campaignIdOf(input);
      const began = Date.now();
      let busy = began;
      let unheardMs = activityInfo().attempt > 1 ? 0 : UNHEARD_MS;
      for (;;) {
        const settled = await retryWhenDatabaseUnavailable(settleItems(records, campaignId));
        const current = await look(dependencies, campaignId);
        const step = nextStep(current);
        if (current.state !== 'Running' || step.kind === 'stop' || step.kind === 'finish') return current;
        const { asked, skipped } = await retryWhenDatabaseUnavailable(
          take(dependencies, current, step, unheardMs),
        );
        unheardMs = UNHEARD_MS;
        await ask(dependencies, taken, current, asked);
        if (skipped > 0) continue;
        if (settled + asked.length > 0) busy = Date.now();
        if (Date.now() - began >= ROUND_MS || Date.now() - busy >= idleMs(current)) return current;
        // Rejects when the workflow is cancelled, or the worker stops.
        await Context.current().sleep(LOOK_INTERVAL_MS);
      }
    },

    /** Changes the state where the campaign is in one that allows it, and says how it stands then. */
    async changeCampaign(input: CampaignChangeInput): Promise<CampaignAnswer> {
      const campaignId = campaignIdOf(input);
      const { change, request } = input;
      const byItself = change === 'stop' || change === 'finish';
      const note = byItself
        ? {
            actor: CAMPAIGN_ACTOR,
            reason: await retryWhenDatabaseUnavailable(ownReason(dependencies, campaignId, change)),
          }
        : parseNote(request);
      if ('problem' in note) return { look: await look(dependencies, campaignId), problem: note.problem };
      const changed = await retryWhenDatabaseUnavailable(
        changeCampaign(records, campaignId, CHANGES[change], note),
      );
      if (changed) log.info('a campaign has another state', { campaignId, state: CHANGES[change].to });
      return { look: await look(dependencies, campaignId), problem: null };
    },
  };
}

async function look({ records }: ActivityDependencies, campaignId: string): Promise<CampaignSnapshot> {
  const found = await retryWhenDatabaseUnavailable(lookAtCampaign(records, campaignId));
  if (found) return found;
  throw unknown(campaignId);
}

/** The input comes from outside, whatever its type says; asking Postgres for what is no uuid would fail again and again. */
function campaignIdOf(input: CampaignInput | undefined): string {
  const id: unknown = input?.campaignId;
  if (typeof id !== 'string' || !isUuid(id)) throw unknown(id);
  return id;
}

function unknown(id: unknown): ApplicationFailure {
  const shown = limitBytes(JSON.stringify(id) ?? 'undefined', 100);
  const problem = `no campaign has the id ${shown}; \`inbox campaigns\` lists those there are`;
  return ApplicationFailure.nonRetryable(problem, FAILURE.unknownCampaign);
}

/** With a slow rate, the pause between two replays is no idleness. */
function idleMs({ rate }: CampaignSnapshot): number {
  return Math.max(IDLE_MS, pace(rate).windowMs + LOOK_INTERVAL_MS);
}

/**
 * Notes them as asked for before they are: a rate that is exceeded because of a crash would be no limit. How many places are
 * free is counted again under the lock: a round whose worker counts as lost may still be at work beside this one.
 */
function take(
  { records }: ActivityDependencies,
  { id, rate }: CampaignSnapshot,
  step: CampaignStep,
  unheardMs: number,
): Promise<{ asked: ItemToAsk[]; skipped: number }> {
  return withTransaction(records, async (tx) => {
    if (!(await lockRunningCampaign(tx, id))) return { asked: [], skipped: 0 };
    const again = await takeUnheardItems(tx, id, unheardMs);
    if (step.kind !== 'ask') return { asked: again, skipped: 0 };
    const current = await lookAtCampaign(tx, id);
    const now = current ? nextStep(current) : step;
    if (now.kind !== 'ask') return { asked: again, skipped: 0 };
    const next = await takeItems(tx, id, now.limit, pace(rate));
    return { asked: [...again, ...next.asked], skipped: next.skipped };
  });
}

/** One that cannot be asked is asked again once it counts as unheard; where none can, Temporal is away. */
async function ask(
  dependencies: ActivityDependencies,
  taken: TakenIds,
  { id, actor, reason }: CampaignSnapshot,
  items: readonly ItemToAsk[],
): Promise<void> {
  const answers = await Promise.allSettled(
    items.map(({ messageId, deadLetterId }) =>
      askCommand(dependencies.signaller, messageId, REPLAY_SIGNAL, {
        actor,
        ...(reason !== null && { reason }),
        campaign: id,
        deadLetterId,
      }),
    ),
  );
  const failed = answers
    .filter((answer) => answer.status === 'rejected')
    // One whose ID is taken waits, and is asked again like one that did not hear.
    .filter(({ reason: error }) => !taken.report(error));
  if (failed.length === 0) return;
  const { reason: error } = failed[0]!;
  if (failed.length === items.length) throw error;
  dependencies.log.warn('replays could not be asked for; trying again', {
    campaignId: id,
    count: failed.length,
    error,
  });
}

/** Why the campaign stops or ends by itself. */
async function ownReason(
  dependencies: ActivityDependencies,
  campaignId: string,
  change: 'stop' | 'finish',
): Promise<string | null> {
  if (change === 'finish') return null;
  const current = await look(dependencies, campaignId);
  const [example] = await listFailedItems(dependencies.records, campaignId, 1);
  const which = current.judged.settled === current.canary ? 'of the canary, ' : '';
  const figures = `${which}${failureShare(current.judged)}, and it stops above ${percent(current.stopAbove)}`;
  return example ? `${figures}; for example ${example.messageId} (${example.failureGroup})` : figures;
}
