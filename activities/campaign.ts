/**
 * The activities of a campaign: they replay items and change the campaign's state. All decisions depend only on Postgres, so
 * an activity can be repeated, or run on two workers at once, and every item is still replayed once.
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
import { signalCommand } from '../src/temporal/signal-workflow.ts';
import { listFailedItems, lockRunningCampaign, settleItems } from '../src/store/campaign-items.ts';
import { takeItems, takeUnansweredItems } from '../src/store/campaign-items.ts';
import type { ItemToReplay } from '../src/store/campaign-items.ts';
import { changeCampaign, readCampaignSnapshot } from '../src/store/campaigns.ts';
import type { CampaignChange } from '../src/store/campaigns.ts';
import { TakenIds } from '../src/temporal/taken-ids.ts';
import { isUuid, limitBytes } from '../src/core/text.ts';
import { retryWhenDatabaseUnavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { parseNote } from '../src/operations/operator-request.ts';

/**
 * The longest time that one activity works: shorter than the shutdown grace time, but long enough to be worth an activity.
 */
const ROUND_MS = 8_000;
/** After this long without work, the activity ends and the workflow waits instead: its timer occupies no slot. */
const IDLE_MS = 2_000;
const POLL_INTERVAL_MS = 100;
/** A replay request may be lost if the replay hasn't started after this time. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The actor of changes that the campaign makes itself. */
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
  const takenIds = new TakenIds(log);
  return {
    /** Returns the current state and figures. */
    async lookAtCampaign(input: CampaignInput): Promise<CampaignSnapshot> {
      const campaignId = campaignIdOf(input);
      await retryWhenDatabaseUnavailable(settleItems(records, campaignId));
      return readSnapshot(dependencies, campaignId);
    },

    /**
     * Replays items for a while, as many as the plan and the outcomes allow, and returns the state and figures after that.
     */
    async replayItems(input: CampaignInput): Promise<CampaignSnapshot> {
      const campaignId = campaignIdOf(input);
      const startedAt = Date.now();
      let lastWorkAt = startedAt;
      let requestTimeoutMs = activityInfo().attempt > 1 ? 0 : REQUEST_TIMEOUT_MS;
      for (;;) {
        const settled = await retryWhenDatabaseUnavailable(settleItems(records, campaignId));
        const current = await readSnapshot(dependencies, campaignId);
        const step = nextStep(current);
        if (current.state !== 'Running' || step.kind === 'stop' || step.kind === 'finish') return current;
        const { asked, skipped } = await retryWhenDatabaseUnavailable(
          takeNextItems(dependencies, current, step, requestTimeoutMs),
        );
        requestTimeoutMs = REQUEST_TIMEOUT_MS;
        await requestReplays(dependencies, takenIds, current, asked);
        if (skipped > 0) continue;
        if (settled + asked.length > 0) lastWorkAt = Date.now();
        if (Date.now() - startedAt >= ROUND_MS || Date.now() - lastWorkAt >= idleMs(current)) return current;
        // Rejects if the workflow is canceled or the worker stops.
        await Context.current().sleep(POLL_INTERVAL_MS);
      }
    },

    /** Changes the state if the current state allows it, and returns the state and figures after that. */
    async changeCampaign(input: CampaignChangeInput): Promise<CampaignAnswer> {
      const campaignId = campaignIdOf(input);
      const { change, request } = input;
      const isAutomatic = change === 'stop' || change === 'finish';
      const note = isAutomatic
        ? {
            actor: CAMPAIGN_ACTOR,
            reason: await retryWhenDatabaseUnavailable(automaticReason(dependencies, campaignId, change)),
          }
        : parseNote(request);
      if ('problem' in note)
        return { look: await readSnapshot(dependencies, campaignId), problem: note.problem };
      const changed = await retryWhenDatabaseUnavailable(
        changeCampaign(records, campaignId, CHANGES[change], note),
      );
      if (changed) log.info('the state of a campaign changed', { campaignId, state: CHANGES[change].to });
      return { look: await readSnapshot(dependencies, campaignId), problem: null };
    },
  };
}

async function readSnapshot(
  { records }: ActivityDependencies,
  campaignId: string,
): Promise<CampaignSnapshot> {
  const found = await retryWhenDatabaseUnavailable(readCampaignSnapshot(records, campaignId));
  if (found) return found;
  throw unknownCampaign(campaignId);
}

/** The input comes from outside and can be anything. A query with an invalid UUID would fail on every retry. */
function campaignIdOf(input: CampaignInput | undefined): string {
  const id: unknown = input?.campaignId;
  if (typeof id !== 'string' || !isUuid(id)) throw unknownCampaign(id);
  return id;
}

function unknownCampaign(id: unknown): ApplicationFailure {
  const shown = limitBytes(JSON.stringify(id) ?? 'undefined', 100);
  const problem = `no campaign has the id ${shown}; \`inbox campaigns\` lists the existing ones`;
  return ApplicationFailure.nonRetryable(problem, FAILURE.unknownCampaign);
}

/** At a slow rate, the pause between two replays doesn't count as idle time. */
function idleMs({ rate }: CampaignSnapshot): number {
  return Math.max(IDLE_MS, pace(rate).windowMs + POLL_INTERVAL_MS);
}

/**
 * Marks items as requested before the requests are sent, so that a crash cannot exceed the rate. The free places are counted
 * again under the lock, because a round whose worker is considered lost may still be running.
 */
function takeNextItems(
  { records }: ActivityDependencies,
  { id, rate }: CampaignSnapshot,
  step: CampaignStep,
  requestTimeoutMs: number,
): Promise<{ asked: ItemToReplay[]; skipped: number }> {
  return withTransaction(records, async (tx) => {
    if (!(await lockRunningCampaign(tx, id))) return { asked: [], skipped: 0 };
    const repeated = await takeUnansweredItems(tx, id, requestTimeoutMs);
    if (step.kind !== 'ask') return { asked: repeated, skipped: 0 };
    const current = await readCampaignSnapshot(tx, id);
    const currentStep = current ? nextStep(current) : step;
    if (currentStep.kind !== 'ask') return { asked: repeated, skipped: 0 };
    const next = await takeItems(tx, id, currentStep.limit, pace(rate));
    return { asked: [...repeated, ...next.asked], skipped: next.skipped };
  });
}

/**
 * A request that fails is repeated after {@link REQUEST_TIMEOUT_MS}.
 *
 * @throws the first error if all requests fail: Temporal is probably unavailable, and it retries the activity later
 */
async function requestReplays(
  dependencies: ActivityDependencies,
  takenIds: TakenIds,
  { id, actor, reason }: CampaignSnapshot,
  items: readonly ItemToReplay[],
): Promise<void> {
  const results = await Promise.allSettled(
    items.map(({ deadLetterId, ...command }) =>
      signalCommand(dependencies.signaller, command, REPLAY_SIGNAL, {
        actor,
        ...(reason !== null && { reason }),
        campaign: id,
        deadLetterId,
      }),
    ),
  );
  const failed = results
    .filter((result) => result.status === 'rejected')
    // If a foreign workflow uses the ID, the item waits and its request is repeated like a lost one.
    .filter(({ reason: error }) => !takenIds.report(error));
  if (failed.length === 0) return;
  const { reason: error } = failed[0]!;
  if (failed.length === items.length) throw error;
  dependencies.log.warn('some replays could not be requested and will be retried', {
    campaignId: id,
    count: failed.length,
    error,
  });
}

/** The reason for a change that the campaign makes itself. */
async function automaticReason(
  dependencies: ActivityDependencies,
  campaignId: string,
  change: 'stop' | 'finish',
): Promise<string | null> {
  if (change === 'finish') return null;
  const current = await readSnapshot(dependencies, campaignId);
  const [example] = await listFailedItems(dependencies.records, campaignId, 1);
  const prefix = current.judged.settled === current.canary ? 'canary: ' : '';
  const figures = `${prefix}${failureShare(current.judged)}, above the limit of ${percent(current.stopAbove)}`;
  return example ? `${figures}; for example ${example.messageId} (${example.failureGroup})` : figures;
}
