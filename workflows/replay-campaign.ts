/**
 * A bulk replay. What it replays, how far it has come and in which state it is stands in Postgres; this workflow is what
 * makes it go on, round after round, and what people see and signal. So it carries no state of its own but its campaign's
 * id, and may be terminated and started again at any time.
 *
 * @module
 */
import {
  ActivityFailure,
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
import { nextStep, settledOf } from '../src/core/campaign.ts';
import type { CampaignSnapshot } from '../src/core/campaign.ts';
import type { CampaignChangeInput, CampaignInput } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import type { CampaignArgument, OperatorNote } from '../src/core/protocol.ts';
import { campaignActivities, campaignChanges, origin } from './activity-options.ts';
import { CampaignStory } from './campaign-story.ts';
import { undecodable } from './payload-converter.ts';
import { abortSignal, pauseSignal, progressQuery, resumeSignal } from './signals-and-queries.ts';

/** So many rounds make a history of about a thousand events: a timeline that can be read, and is replayed quickly. */
const ROUNDS_OF_A_RUN = 100;
const FIRST_REST_MS = 1_000;
const LONGEST_REST_MS = 15_000;
/** After an abort the outcomes of what was under way are still written down, but not waited for without end. */
const LOOKS_AFTER_ABORT = 10;
const LONG_WAIT = '365 days';
const TRUST_CHANGE_PATCH = 'campaign-trusts-change';

interface Request {
  change: 'pause' | 'resume' | 'abort';
  /** Not checked: a signal can bring anything. */
  note: OperatorNote | undefined;
}

/**
 * @returns how it ended
 * @throws ApplicationFailure of type UnknownCampaign
 */
export async function replayCampaign(argument?: CampaignArgument): Promise<CampaignSnapshot> {
  const campaignId = argument?.campaignId;
  if (typeof campaignId !== 'string') {
    throw ApplicationFailure.nonRetryable('the argument is {"campaignId": …}', FAILURE.unknownCampaign);
  }
  const campaign = new CampaignRun(campaignId);
  setHandler(pauseSignal, (note) => campaign.ask({ change: 'pause', note }));
  setHandler(resumeSignal, (note) => campaign.ask({ change: 'resume', note }));
  setHandler(abortSignal, (note) => campaign.ask({ change: 'abort', note }));
  setHandler(progressQuery, () => campaign.look);
  try {
    const look = await campaign.run();
    return look ?? (await continueAsNew<typeof replayCampaign>({ campaignId }));
  } catch (error) {
    if (!isCancellation(error)) throw asItself(error);
    // A cancelled workflow is a person who says stop. What is in Postgres must not say that it runs.
    const goesOn = await CancellationScope.nonCancellable(() => campaign.cancelled());
    if (goesOn) await continueAsNew<typeof replayCampaign>({ campaignId });
    throw error;
  }
}

/** A refusal of an activity is that of the workflow. */
function asItself(error: unknown): unknown {
  const cause = error instanceof ActivityFailure ? error.cause : null;
  if (!(cause instanceof ApplicationFailure) || !cause.nonRetryable) return error;
  return ApplicationFailure.nonRetryable(cause.message, cause.type ?? FAILURE.unknownCampaign);
}

class CampaignRun {
  readonly #campaignId: string;
  readonly #story = new CampaignStory();
  readonly #requests: Request[] = [];
  #asked = new Trigger<void>();
  look: CampaignSnapshot | null = null;
  /** Rounds in a row without news. */
  #quiet = 0;
  #looksAfterAbort = 0;

  constructor(campaignId: string) {
    this.#campaignId = campaignId;
  }

  ask(request: Request): void {
    this.#requests.push(request);
    this.#asked.resolve();
  }

  /** Until it is over, or null when it is time for a new run. */
  async run(): Promise<CampaignSnapshot | null> {
    let look = await this.#lookAgain('how the campaign stands');
    for (let round = 1; ; round += 1) {
      const request = this.#requests.shift();
      if (request) {
        look = await this.#carryOut(request);
        continue;
      }
      if (round > ROUNDS_OF_A_RUN || workflowInfo().continueAsNewSuggested) return null;
      const next = await this.#next(look);
      if (next === null) return look;
      look = next;
    }
  }

  /** Whether somebody has asked for something meanwhile: this run would take it to its grave. */
  async cancelled(): Promise<boolean> {
    await this.#change({
      change: 'pause',
      request: { reason: 'its workflow was cancelled; resume goes on' },
    });
    let asked = false;
    for (let request = this.#requests.shift(); request; request = this.#requests.shift()) {
      asked = true;
      await this.#carryOut(request);
    }
    return asked;
  }

  /** One round; null when the campaign is over. */
  async #next(look: CampaignSnapshot): Promise<CampaignSnapshot | null> {
    switch (look.state) {
      case 'Running':
        return this.#goOn(look);
      case 'Paused':
        return look.inFlight > 0 ? this.#lookLater(look) : this.#waitForPerson(look);
      case 'Aborted':
        this.#looksAfterAbort += 1;
        return look.inFlight > 0 && this.#looksAfterAbort <= LOOKS_AFTER_ABORT ? this.#lookLater(look) : null;
      case 'Finished':
        return null;
    }
  }

  async #goOn(look: CampaignSnapshot): Promise<CampaignSnapshot> {
    const step = nextStep(look);
    if (step.kind === 'finish' || step.kind === 'stop') return this.#change({ change: step.kind });
    // Only what is under way is left to wait for, and it has been quiet: the timer costs nobody a slot.
    if (step.kind === 'wait' && this.#quiet > 0) await this.#rest(look);
    if (this.#requests.length > 0) return look;
    const round = campaignActivities(this.#story.roundSummary(look));
    this.#asked = new Trigger<void>();
    const rounding = round.replayItems(this.#input());
    // A change of state is not kept waiting by the round: the round sees it in Postgres, and ends.
    await Promise.race([rounding, this.#asked]);
    const request = this.#requests.shift();
    const changed = request ? await this.#carryOut(request) : null;
    return this.#learn(this.#latest(await rounding, changed), request !== undefined);
  }

  /**
   * The round and the change ran at the same time, so the round may have looked before the change. A state that differs is
   * that of before: after a resume it says Paused, and the workflow would wait for another resume.
   */
  #latest(rounded: CampaignSnapshot, changed: CampaignSnapshot | null): CampaignSnapshot {
    if (changed === null || changed.state === rounded.state) return rounded;
    return patched(TRUST_CHANGE_PATCH) ? changed : rounded;
  }

  async #lookLater(look: CampaignSnapshot): Promise<CampaignSnapshot> {
    await this.#rest(look);
    return this.#requests.length > 0 ? look : this.#lookAgain('what became of the replays under way');
  }

  async #lookAgain(summary: string): Promise<CampaignSnapshot> {
    return this.#learn(await campaignActivities(summary).lookAtCampaign(this.#input()), false);
  }

  /** The timer's only use is its summary. */
  async #waitForPerson(look: CampaignSnapshot): Promise<CampaignSnapshot> {
    await condition(() => this.#requests.length > 0, LONG_WAIT, {
      summary: this.#story.waitingSummary(look),
    });
    return look;
  }

  async #rest(look: CampaignSnapshot): Promise<void> {
    const ms = Math.min(FIRST_REST_MS * 2 ** Math.max(0, this.#quiet - 1), LONGEST_REST_MS);
    await condition(() => this.#requests.length > 0, ms, { summary: this.#story.restSummary(look) });
  }

  #input(): CampaignInput {
    return { campaignId: this.#campaignId, ...origin() };
  }

  async #carryOut({ change, note }: Request): Promise<CampaignSnapshot> {
    const problem = undecodable(note);
    if (problem !== null) {
      this.#story.refused(change, `the argument ${problem}`);
      return this.#lookAgain('how the campaign stands');
    }
    return this.#change({ change, ...(note !== undefined && { request: note }) });
  }

  async #change(what: Omit<CampaignChangeInput, 'campaignId' | 'inbox'>): Promise<CampaignSnapshot> {
    const activities = campaignChanges(this.#story.changeSummary(what));
    const { look, problem } = await activities.changeCampaign({ ...this.#input(), ...what });
    this.#story.refused(what.change, problem);
    return this.#learn(look, true);
  }

  #learn(look: CampaignSnapshot, changed: boolean): CampaignSnapshot {
    this.#quiet = changed || this.#hasNews(look) ? 0 : this.#quiet + 1;
    this.look = look;
    this.#story.tell(look);
    return look;
  }

  #hasNews(look: CampaignSnapshot): boolean {
    if (!this.look) return true;
    return settledOf(look) !== settledOf(this.look) || look.inFlight !== this.look.inFlight;
  }
}
