/**
 * A bulk replay. Its items, progress and state are in Postgres. This workflow runs it in rounds, and people see and signal
 * it. The workflow's only own state is the campaign's id, so it can be terminated and restarted at any time.
 *
 * @module
 */
import {
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  patched,
  setHandler,
  Trigger,
  workflowInfo,
} from '@temporalio/workflow';
import { nextStep, countSettled } from '../src/core/campaign.ts';
import type { CampaignSnapshot } from '../src/core/campaign.ts';
import type { CampaignChangeInput, CampaignInput } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import type { CampaignArgument, OperatorNote } from '../src/core/protocol.ts';
import { campaignActivities, campaignChangeActivities, origin } from './activity-options.ts';
import { CampaignDisplay } from './campaign-story.ts';
import { withoutWrapper } from './failure.ts';
import { undecodable } from './payload-converter.ts';
import { abortSignal, pauseSignal, progressQuery, resumeSignal } from './signals-and-queries.ts';

/** Makes a history of about a thousand events, which people can read and Temporal replays quickly. */
const ROUNDS_PER_RUN = 100;
const MIN_WAIT_MS = 1_000;
const MAX_WAIT_MS = 15_000;
/**
 * After an abort, the outcomes of replays in progress are still recorded, but the workflow doesn't wait for them forever.
 */
const CHECKS_AFTER_ABORT = 10;
const LONG_WAIT = '365 days';
const TRUST_CHANGE_PATCH = 'campaign-trusts-change';

interface Request {
  change: 'pause' | 'resume' | 'abort';
  /** Not validated: a signal can contain anything. */
  note: OperatorNote | undefined;
}

/**
 * @returns the final state and figures
 * @throws ApplicationFailure of type UnknownCampaign
 */
export async function replayCampaign(argument?: CampaignArgument): Promise<CampaignSnapshot> {
  const campaignId = argument?.campaignId;
  if (typeof campaignId !== 'string') {
    throw ApplicationFailure.nonRetryable('the argument must be {"campaignId": …}', FAILURE.unknownCampaign);
  }
  const campaign = new CampaignRun(campaignId);
  setHandler(pauseSignal, (note) => campaign.addRequest({ change: 'pause', note }));
  setHandler(resumeSignal, (note) => campaign.addRequest({ change: 'resume', note }));
  setHandler(abortSignal, (note) => campaign.addRequest({ change: 'abort', note }));
  setHandler(progressQuery, () => campaign.snapshot);
  try {
    const final = await campaign.run();
    return final ?? (await continueAsNew<typeof replayCampaign>({ campaignId }));
  } catch (error) {
    if (!isCancellation(error)) throw withoutWrapper(error);
    // Someone canceled the workflow to stop the campaign, so Postgres must not say that it is Running.
    const hasRequests = await CancellationScope.nonCancellable(() => campaign.pauseAfterCancellation());
    if (hasRequests) await continueAsNew<typeof replayCampaign>({ campaignId });
    throw error;
  }
}

class CampaignRun {
  readonly #campaignId: string;
  readonly #display = new CampaignDisplay();
  readonly #requests: Request[] = [];
  #requested = new Trigger<void>();
  snapshot: CampaignSnapshot | null = null;
  /** Consecutive rounds without progress. */
  #idleRounds = 0;
  #checksAfterAbort = 0;

  constructor(campaignId: string) {
    this.#campaignId = campaignId;
  }

  addRequest(request: Request): void {
    this.#requests.push(request);
    this.#requested.resolve();
  }

  /** Runs until the campaign is over. Returns null when the workflow should continue as a new run. */
  async run(): Promise<CampaignSnapshot | null> {
    let snapshot = await this.#refresh('Read the campaign state');
    for (let round = 1; ; round += 1) {
      const request = this.#requests.shift();
      if (request) {
        snapshot = await this.#handleRequest(request);
        continue;
      }
      if (round > ROUNDS_PER_RUN || workflowInfo().continueAsNewSuggested) return null;
      const next = await this.#next(snapshot);
      if (next === null) return snapshot;
      snapshot = next;
    }
  }

  /**
   * Pauses the campaign and handles the remaining requests.
   *
   * @returns whether there were any: then a new run has to continue, because this one ends as canceled
   */
  async pauseAfterCancellation(): Promise<boolean> {
    await this.#change({
      change: 'pause',
      request: { reason: 'its workflow was canceled; resume the campaign to continue it' },
    });
    let hasRequests = false;
    for (let request = this.#requests.shift(); request; request = this.#requests.shift()) {
      hasRequests = true;
      await this.#handleRequest(request);
    }
    return hasRequests;
  }

  /** Runs one round; null when the campaign is over. */
  async #next(snapshot: CampaignSnapshot): Promise<CampaignSnapshot | null> {
    switch (snapshot.state) {
      case 'Running':
        return this.#runRound(snapshot);
      case 'Paused':
        return snapshot.inFlight > 0 ? this.#checkLater(snapshot) : this.#waitForRequest(snapshot);
      case 'Aborted':
        this.#checksAfterAbort += 1;
        return snapshot.inFlight > 0 && this.#checksAfterAbort <= CHECKS_AFTER_ABORT
          ? this.#checkLater(snapshot)
          : null;
      case 'Finished':
        return null;
    }
  }

  async #runRound(snapshot: CampaignSnapshot): Promise<CampaignSnapshot> {
    const step = nextStep(snapshot);
    if (step.kind === 'finish' || step.kind === 'stop') return this.#change({ change: step.kind });
    // Only replays in progress are left, and the last round made no progress: a timer occupies no activity slot.
    if (step.kind === 'wait' && this.#idleRounds > 0) await this.#waitForReplays();
    if (this.#requests.length > 0) return snapshot;
    const activities = campaignActivities(this.#display.roundSummary(snapshot));
    this.#requested = new Trigger<void>();
    const round = activities.replayItems(this.#input());
    // A state change doesn't wait for the round: the round sees the change in Postgres and ends.
    await Promise.race([round, this.#requested]);
    const request = this.#requests.shift();
    const changed = request ? await this.#handleRequest(request) : null;
    return this.#record(this.#latest(await round, changed), request !== undefined);
  }

  /**
   * The round and the change ran at the same time, so the round may have read the state before the change. If the states
   * differ, the round's state is outdated: after a resume it would still be Paused, and the workflow would wait for another
   * resume.
   */
  #latest(fromRound: CampaignSnapshot, fromChange: CampaignSnapshot | null): CampaignSnapshot {
    if (fromChange === null || fromChange.state === fromRound.state) return fromRound;
    return patched(TRUST_CHANGE_PATCH) ? fromChange : fromRound;
  }

  async #checkLater(snapshot: CampaignSnapshot): Promise<CampaignSnapshot> {
    await this.#waitForReplays();
    return this.#requests.length > 0 ? snapshot : this.#refresh('Check the replays in progress');
  }

  async #refresh(summary: string): Promise<CampaignSnapshot> {
    return this.#record(await campaignActivities(summary).lookAtCampaign(this.#input()), false);
  }

  /** The timer exists only for its summary. */
  async #waitForRequest(snapshot: CampaignSnapshot): Promise<CampaignSnapshot> {
    await condition(() => this.#requests.length > 0, LONG_WAIT, {
      summary: this.#display.waitingSummary(snapshot),
    });
    return snapshot;
  }

  async #waitForReplays(): Promise<void> {
    const ms = Math.min(MIN_WAIT_MS * 2 ** Math.max(0, this.#idleRounds - 1), MAX_WAIT_MS);
    await condition(() => this.#requests.length > 0, ms, { summary: this.#display.inFlightSummary() });
  }

  #input(): CampaignInput {
    return { campaignId: this.#campaignId, ...origin() };
  }

  async #handleRequest({ change, note }: Request): Promise<CampaignSnapshot> {
    const problem = undecodable(note);
    if (problem !== null) {
      this.#display.refused(change, `the argument ${problem}`);
      return this.#refresh('Read the campaign state');
    }
    return this.#change({ change, ...(note !== undefined && { request: note }) });
  }

  async #change(change: Omit<CampaignChangeInput, 'campaignId' | 'inbox'>): Promise<CampaignSnapshot> {
    const activities = campaignChangeActivities(this.#display.changeSummary(change));
    const { look: snapshot, problem } = await activities.changeCampaign({ ...this.#input(), ...change });
    this.#display.refused(change.change, problem);
    return this.#record(snapshot, true);
  }

  #record(snapshot: CampaignSnapshot, changed: boolean): CampaignSnapshot {
    this.#idleRounds = changed || this.#hasProgress(snapshot) ? 0 : this.#idleRounds + 1;
    this.snapshot = snapshot;
    this.#display.show(snapshot);
    return snapshot;
  }

  #hasProgress(snapshot: CampaignSnapshot): boolean {
    if (!this.snapshot) return true;
    return (
      countSettled(snapshot) !== countSettled(this.snapshot) || snapshot.inFlight !== this.snapshot.inFlight
    );
  }
}
