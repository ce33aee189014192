/**
 * What the activities tell the workflow. These shapes are in the histories of open workflows: fields may be added,
 * never changed.
 *
 * @module
 */
import type { CampaignSnapshot } from './campaign.ts';
import type { Json } from './json.ts';
import type { CampaignArgument, DiscardRequest, OperatorNote, ReplayRequest } from './protocol.ts';

/** What came of a command that completed without a workflow. */
export interface CommandRecord {
  /** When it was completed, ISO 8601. */
  at: string;
  result: Json;
}

/** What the workflow must know of a command; it cannot read the registry itself. */
export interface CommandFacts {
  commandType: string;
  correlationId: string | null;
  generation: number;
  /** Limit of one attempt. */
  timeoutMs: number;
  maximumAttempts: number;
  initialIntervalMs: number;
  backoffCoefficient: number;
  maximumIntervalMs: number;
  /** Whether the namespace has all of the inbox's search attributes: an unknown one would fail the workflow task. */
  searchAttributes: boolean;
  /** Those that it has. Older releases did not say. */
  usableSearchAttributes?: string[];
}

/** In the input of every activity that a workflow with an inbox in its memo calls. */
export interface Origin {
  /** The id of the inbox that the workflow belongs to. Only that inbox's workers may run the activity. */
  inbox?: string;
}

export interface AttemptInput extends Origin {
  /** The workflow's argument, where it is not known to be in Postgres already. Not checked yet. */
  envelope?: unknown;
  /** Why the argument must be refused although it looks right: a number in it was changed when it was read. */
  problem?: string;
  /**
   * first: the local activity. retry: the ordinary activity after a transient failure; its own first try only carries
   * that failure over, so that the Web UI shows it with the time of the next attempt. longRunning: ordinary at once.
   */
  lane: 'first' | 'retry' | 'longRunning';
  /** Missing before the first failed attempt has reported it, and in workflows of earlier releases. */
  commandType?: string;
}

export type AttemptOutcome =
  | { kind: 'completed'; result: Json }
  /** Nothing was started: the command is declared long-running. */
  | { kind: 'longRunning'; facts: CommandFacts };

/** First of the details of every failure that an attempt throws on purpose. */
export type AttemptFailure =
  | { outcome: 'retry'; facts: CommandFacts; failure: FailureNews; nextRetryAt: string }
  | { outcome: 'dead'; facts: CommandFacts; failure: FailureNews; failureGroup: string; reason: string }
  /** Not this time, and not by the command's fault: no attempt was used up. */
  | { outcome: 'unavailable' }
  /** There is nothing to try: the envelope is invalid or in conflict, or the dead letter was discarded. */
  | { outcome: 'refused' };

export interface FailureNews {
  type: string;
  message: string;
  /** Failed attempts since the command was received or last replayed. */
  retryCount: number;
}

export interface ReplayInput extends Origin {
  request: ReplayRequest;
  /** Why the request must be refused although it looks right: see {@link AttemptInput}. */
  problem?: string;
}

export interface DiscardInput extends Origin {
  request: DiscardRequest;
}

export type OperatorOutcome =
  /** The facts, for a campaign's replay: those of the dead letter are as old as it is. */
  | { kind: 'done'; facts?: CommandFacts }
  /** The request makes no sense, for example its payload fails the schema; nothing was changed. */
  | { kind: 'rejected'; problem: string }
  /** No dead letter is open: somebody else has replayed it, or discarded it. */
  | { kind: 'nothingOpen'; resolution: 'replayed' | 'discarded' | null; facts?: CommandFacts }
  /** The dead letter that was meant is resolved; the one that is open now came after it. */
  | { kind: 'superseded' };

export interface CampaignInput extends CampaignArgument, Origin {}

export interface CampaignChangeInput extends CampaignInput {
  /** stop: because too many failed. */
  change: 'pause' | 'resume' | 'abort' | 'stop' | 'finish';
  /** Who asks for it, and why. Not checked: it comes with a signal. */
  request?: OperatorNote;
}

export interface CampaignAnswer {
  look: CampaignSnapshot;
  /** Why the request was refused; null when it was not. */
  problem: string | null;
}
