/**
 * The inputs and results of activities. The histories of open workflows contain these shapes: you may add fields, but never
 * change them.
 *
 * @module
 */
import type { CampaignSnapshot } from './campaign.ts';
import type { Json } from './json.ts';
import type { CampaignArgument, DiscardRequest, OperatorNote, ReplayRequest } from './protocol.ts';

/** The outcome of a command that completed without a workflow. */
export interface CommandRecord {
  /** When the command completed, ISO 8601. */
  at: string;
  result: Json;
}

/** The facts about a command that its workflow needs, because workflows cannot read the registry. */
export interface CommandFacts {
  commandType: string;
  correlationId: string | null;
  generation: number;
  /** Time limit of one attempt, in ms. */
  timeoutMs: number;
  maximumAttempts: number;
  initialIntervalMs: number;
  backoffCoefficient: number;
  maximumIntervalMs: number;
  /** True if the namespace has all of the inbox's search attributes: an unregistered one would fail the workflow task. */
  searchAttributes: boolean;
  /** The registered ones. Earlier releases did not send this field. */
  usableSearchAttributes?: string[];
}

/** Part of the input of every activity called by a workflow whose memo names its inbox. */
export interface Origin {
  /** The id of the inbox that the workflow belongs to. Only workers of that inbox may run the activity. */
  inbox?: string;
}

export interface AttemptInput extends Origin {
  /** The workflow's argument, unless it is known to be in Postgres already. Not validated yet. */
  envelope?: unknown;
  /** Why the argument must be refused although it looks valid: parsing changed a number in it. */
  problem?: string;
  /**
   * first: the local activity. retry: the ordinary activity after a transient failure. Its own first try only repeats that
   * failure so that the Web UI shows it with the time of the next attempt. longRunning: an ordinary activity from the start.
   */
  lane: 'first' | 'retry' | 'longRunning';
  /** Missing until the first failed attempt has reported it, and in workflows of earlier releases. */
  commandType?: string;
}

export type AttemptOutcome =
  | { kind: 'completed'; result: Json }
  /** No attempt was started, because the command is declared long-running. */
  | { kind: 'longRunning'; facts: CommandFacts };

/** The first element in the details of every failure that an attempt throws on purpose. */
export type AttemptFailure =
  | { outcome: 'retry'; facts: CommandFacts; failure: FailureSummary; nextRetryAt: string }
  | { outcome: 'dead'; facts: CommandFacts; failure: FailureSummary; failureGroup: string; reason: string }
  /** The attempt could not run, through no fault of the command: it does not count as an attempt. */
  | { outcome: 'unavailable' }
  /** An attempt is pointless: the envelope is invalid or conflicts with the stored one, or the dead letter was discarded. */
  | { outcome: 'refused' };

export interface FailureSummary {
  type: string;
  message: string;
  /** Failed attempts since the command was received or last replayed. */
  retryCount: number;
}

export interface DiscardInput extends Origin {
  request: DiscardRequest;
  /** Why the request must be refused although it looks valid: see {@link AttemptInput}. */
  problem?: string;
}

export interface ReplayInput extends DiscardInput {
  request: ReplayRequest;
}

export type OperatorOutcome =
  /** A campaign's replay needs the current facts: those of the dead letter may be out of date. */
  | { kind: 'done'; facts?: CommandFacts }
  /** The request is invalid, for example its payload fails the schema. Nothing was changed. */
  | { kind: 'rejected'; problem: string }
  /** There is no open dead letter: someone else has replayed or discarded it. */
  | { kind: 'nothingOpen'; resolution: 'replayed' | 'discarded' | null; facts?: CommandFacts }
  /** The requested dead letter is resolved; the open one is newer. */
  | { kind: 'superseded' };

export interface CampaignInput extends CampaignArgument, Origin {}

export interface CampaignChangeInput extends CampaignInput {
  /** stop: because too many replays failed. */
  change: 'pause' | 'resume' | 'abort' | 'stop' | 'finish';
  /** Who asked for it, and why. Not validated, because it comes from a signal. */
  request?: OperatorNote;
}

export interface CampaignAnswer {
  look: CampaignSnapshot;
  /** Why the request was refused, or null if it was not. */
  problem: string | null;
}
