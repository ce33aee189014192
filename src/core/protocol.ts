/**
 * Every name that Temporal, operators and other programs rely on, in one place. Nothing here may change while a
 * workflow that uses it can still be open, and dead letters stay open for months.
 *
 * @module
 */
import type { Json, JsonObject } from './json.ts';

export const WORKFLOW_TYPE = 'handleCommand';
export const DEFAULT_TASK_QUEUE = 'inbox';

/** Brings one alert to its receivers; the argument is the alert's id, which is also in the workflow ID. */
export const ALERT_WORKFLOW_TYPE = 'deliverAlert';
export const alertWorkflowId = (alertId: string): string => `inbox-alert:${alertId}`;

/** Memo field of every workflow that the inbox starts: the id of its database, from `inbox.identity`. */
export const INBOX_MEMO = 'inbox';

export const REPLAY_SIGNAL = 'replay';
export const DISCARD_SIGNAL = 'discard';
export const STATUS_QUERY = 'status';

/** A bulk replay. Its one argument is {@link CampaignArgument}; all else is in `inbox.campaigns`. */
export const CAMPAIGN_WORKFLOW_TYPE = 'replayCampaign';
export const PAUSE_SIGNAL = 'pause';
export const RESUME_SIGNAL = 'resume';
export const ABORT_SIGNAL = 'abort';
export const PROGRESS_QUERY = 'progress';

/** The workflow ID of a campaign. */
export function campaignWorkflowId(campaignId: string): string {
  return `inbox-campaign:${campaignId}`;
}

/** Of Temporal's priorities the last one: whatever else waits for a worker goes before a campaign. */
export const CAMPAIGN_PRIORITY = { priorityKey: 5 };
/** Temporal's own default: what an operator does to a campaign must not wait behind that campaign. */
export const ORDINARY_PRIORITY = { priorityKey: 3 };

/** Search attributes, all of type Keyword. The inbox works without them. */
export const SEARCH_ATTRIBUTES = {
  status: 'InboxStatus',
  commandType: 'CommandType',
  correlationId: 'CorrelationId',
  failureGroup: 'FailureGroup',
} as const;

/** The states of an entry, exactly as in the Postgres enum `inbox.entry_status`. */
export const STATUSES = ['Pending', 'Processing', 'Completed', 'Failed', 'DeadLetter'] as const;
export type EntryStatus = (typeof STATUSES)[number];

/** The one argument of a `handleCommand` that is started by a Temporal client. */
export interface Envelope {
  commandType: string;
  payload: Json;
  correlationId?: string | null;
  causationId?: string | null;
  metadata?: JsonObject;
}

/**
 * The one argument of a `handleCommand` that is started for an entry which is Completed already: it has nothing to do but to
 * say so.
 */
export interface CompletedEnvelope {
  commandType: string;
  completed: {
    /** ISO 8601. */
    at: string;
    result: Json;
  };
}

/** Who asks for an operator's action, and why. Both are kept in `inbox.audit`. */
export interface OperatorNote {
  actor?: string;
  reason?: string;
}

/** Argument of the `discard` signal. */
export interface DiscardRequest extends OperatorNote {
  /** Only this dead letter is meant: one that the message died of later is left alone. */
  deadLetterId?: string;
}

/** Argument of the `replay` signal; a payload replaces the entry's after it passed the command's schema. */
export interface ReplayRequest extends DiscardRequest {
  payload?: Json;
  /** The id of the campaign that asks: its replays give way to everything else. */
  campaign?: string;
}

export interface CampaignArgument {
  campaignId: string;
}

/** The states of a campaign. Aborted and Finished are final. */
export const CAMPAIGN_STATES = ['Running', 'Paused', 'Aborted', 'Finished'] as const;
export type CampaignState = (typeof CAMPAIGN_STATES)[number];

/** Answer of the `status` query: what this workflow knows. Postgres is the truth, this is a view of it. */
export interface StatusReport {
  messageId: string;
  commandType: string | null;
  status: EntryStatus;
  generation: number;
  /** Failed attempts since the command was received or last replayed. */
  retryCount: number;
  /** The last failure as `Type: message`, null where there was none. */
  error: string | null;
  /** ISO 8601, set while the status is Failed. */
  nextRetryAt: string | null;
  failureGroup: string | null;
  /** Operators' requests that were refused, and why the last one was. */
  refusals: { count: number; problem: string };
}

/** Types of the failures that the inbox itself raises; people search for them, so they are part of the contract. */
export const FAILURE = {
  invalidEnvelope: 'InvalidEnvelope',
  idempotencyConflict: 'IdempotencyConflict',
  discarded: 'Discarded',
  workerLost: 'WorkerLost',
  connectionLost: 'ConnectionLost',
  timeout: 'Timeout',
  cancelled: 'Cancelled',
  unknownCommandType: 'UnknownCommandType',
  invalidPayload: 'InvalidPayload',
  invalidResult: 'InvalidResult',
  invalidEvent: 'InvalidEvent',
  transactionEnded: 'TransactionEnded',
  transactionAborted: 'TransactionAborted',
  unsupportedTransaction: 'UnsupportedTransaction',
  forgottenAwait: 'ForgottenAwait',
  staleAttempt: 'StaleAttempt',
  attemptRunning: 'AttemptStillRunning',
  inboxUnavailable: 'InboxUnavailable',
  waitsForItsTurn: 'WaitsForItsTurn',
  wrongInbox: 'WrongInbox',
  unknownCampaign: 'UnknownCampaign',
  alertUndelivered: 'AlertUndelivered',
  alertGivenUp: 'AlertGivenUp',
  invalidAlert: 'InvalidAlert',
} as const;
