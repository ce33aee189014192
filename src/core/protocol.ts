/**
 * All names that Temporal, operators and other programs depend on. A name must not change while a workflow that uses it may
 * be open, and dead letters stay open for months.
 *
 * @module
 */
import type { Json, JsonObject } from './json.ts';

/** The header in which the tracing interceptors of Temporal's SDKs pass the trace context, in all languages. */
export const TRACE_HEADER = '_tracer-data';

/**
 * The workflow type that takes an {@link Envelope}. All other workflow types are command types, except those of campaigns and
 * alerts. Earlier releases used this type for every command.
 */
export const WORKFLOW_TYPE = 'handleCommand';
export const DEFAULT_TASK_QUEUE = 'inbox';

/** Delivers one alert. The argument is the alert's id, which is also part of the workflow ID. */
export const ALERT_WORKFLOW_TYPE = 'deliverAlert';
export const alertWorkflowId = (alertId: string): string => `inbox-alert:${alertId}`;

/** Memo field of every workflow that the inbox starts: the database's id from `inbox.identity`. */
export const INBOX_MEMO = 'inbox';

export const REPLAY_SIGNAL = 'replay';
export const DISCARD_SIGNAL = 'discard';
export const STATUS_QUERY = 'status';

/** A bulk replay. Its only argument is {@link CampaignArgument}; everything else is in `inbox.campaigns`. */
export const CAMPAIGN_WORKFLOW_TYPE = 'replayCampaign';
export const PAUSE_SIGNAL = 'pause';
export const RESUME_SIGNAL = 'resume';
export const ABORT_SIGNAL = 'abort';
export const PROGRESS_QUERY = 'progress';

/** The workflow types that are not command types. */
export const RESERVED_TYPES: readonly string[] = [WORKFLOW_TYPE, CAMPAIGN_WORKFLOW_TYPE, ALERT_WORKFLOW_TYPE];

/** The workflow ID of a campaign. */
export function campaignWorkflowId(campaignId: string): string {
  return `inbox-campaign:${campaignId}`;
}

/** Temporal's lowest priority: all other work in the task queue goes before a campaign. */
export const CAMPAIGN_PRIORITY = { priorityKey: 5 };
/** Temporal's default priority: an operator's request to a campaign must not wait behind that campaign. */
export const ORDINARY_PRIORITY = { priorityKey: 3 };

/** Search attributes, all of type Keyword. The inbox also works without them. */
export const SEARCH_ATTRIBUTES = {
  status: 'InboxStatus',
  commandType: 'CommandType',
  correlationId: 'CorrelationId',
  failureGroup: 'FailureGroup',
} as const;

/** The limit of a Keyword in Temporal's visibility store on Postgres. Longer values of search attributes are cut to it. */
export const MAX_KEYWORD_LENGTH = 255;

/** The states of an entry, exactly as in the Postgres enum `inbox.entry_status`. */
export const STATUSES = ['Pending', 'Processing', 'Completed', 'Failed', 'DeadLetter'] as const;
export type EntryStatus = (typeof STATUSES)[number];

/** What can come with a payload: the second argument of a workflow whose type is the command's type. */
export interface MessageOptions {
  correlationId?: string | null;
  causationId?: string | null;
  metadata?: JsonObject;
}

/** The only argument of a `handleCommand` workflow that a Temporal client starts. */
export interface Envelope extends MessageOptions {
  commandType: string;
  payload: Json;
}

/**
 * The only argument of a `handleCommand` workflow that is started for an entry that is already Completed. The workflow only
 * records the result.
 */
export interface CompletedEnvelope {
  commandType: string;
  completed: {
    /** ISO 8601. */
    at: string;
    result: Json;
  };
}

/**
 * The second argument of a workflow that the inbox starts under the command's type. The first one is text for people: the
 * payload stays in Postgres.
 */
export interface StoredArgument {
  stored: true;
  /** When the command completed, in ISO 8601. Set if it did so without a workflow: the workflow only records its result. */
  completed?: string;
}

/** The first argument of such a workflow. Temporal's Web UI shows it as the input. */
export const STORED_PAYLOAD =
  'The payload is stored in Postgres (inbox.entries). Run `inbox show` with the workflow ID to see it.';

/** Who requests an operator's action, and why. Both are stored in `inbox.audit`. */
export interface OperatorNote {
  actor?: string;
  reason?: string;
}

/** Argument of the `discard` signal. */
export interface DiscardRequest extends OperatorNote {
  /** Applies to this dead letter only: a later dead letter of the same message is not affected. */
  deadLetterId?: string;
}

/** Argument of the `replay` signal. A payload replaces the entry's payload if it passes the command's schema. */
export interface ReplayRequest extends DiscardRequest {
  payload?: Json;
  /** The id of the campaign that requests the replay. Such replays have the lowest priority. */
  campaign?: string;
}

export interface CampaignArgument {
  campaignId: string;
}

/** The states of a campaign. Aborted and Finished are final. */
export const CAMPAIGN_STATES = ['Running', 'Paused', 'Aborted', 'Finished'] as const;
export type CampaignState = (typeof CAMPAIGN_STATES)[number];

/** Answer of the `status` query: what this workflow knows. Postgres is the source of truth, and this answer may be older. */
export interface StatusReport {
  messageId: string;
  commandType: string | null;
  status: EntryStatus;
  generation: number;
  /** Failed attempts since the command was received or last replayed. */
  retryCount: number;
  /** The last failure as `Type: message`, or null if there was none. */
  error: string | null;
  /** ISO 8601, set while the status is Failed. */
  nextRetryAt: string | null;
  failureGroup: string | null;
  /** The number of refused operator requests, and the reason for the last refusal. */
  refusals: { count: number; problem: string };
}

/** Types of the failures that the inbox itself raises. People search for them, so they are part of the public contract. */
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
