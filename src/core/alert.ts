/**
 * What people are told when commands die.
 *
 * @module
 */

/** Whom an alert is brought to: the hook in code, and the webhook. As in `inbox.alerts.waiting`. */
export const ALERT_CHANNELS = ['hook', 'webhook'] as const;
export type AlertChannel = (typeof ALERT_CHANNELS)[number];

/**
 * Replaces the failure group, command type and error type in an alert for several groups: see `MAX_ALERTS_PER_WINDOW`. No
 * failure group has this name, because all of them contain a slash.
 */
export const OTHER_GROUPS = '(other groups)';

/**
 * Dead letters of one failure group, or of several ({@link OTHER_GROUPS}). Without payloads and without the messages of errors,
 * which may repeat them: `inbox show` has both for those who may see them.
 */
export interface DeadLetterAlert {
  /** The same whenever this alert is repeated: what to drop repeats by. */
  alertId: string;
  /** What dead letters with the same cause share. */
  failureGroup: string;
  commandType: string;
  errorType: string;
  /** Dead letters in this alert. */
  count: number;
  firstDeadAt: Date;
  lastDeadAt: Date;
  createdAt: Date;
  /** The message ids of the first few. */
  messageIds: string[];
}

/**
 * Told of dead letters once they are committed, at least once for each alert. What it throws, and an answer that takes
 * longer than 30 s, is tried again.
 *
 * @param context - `signal` is aborted when its time is over, or the worker shuts down
 * @example
 * onDeadLetter: async ({ alertId, count, failureGroup }) => page({ dedupKey: alertId, text: `${count} × ${failureGroup}` })
 */
export type DeadLetterHook = (
  alert: DeadLetterAlert,
  context: { signal: AbortSignal },
) => Promise<void> | void;

/** Brings an alert to one channel; that it returns is the receiver's word that it has the alert. */
export type Deliver = (alert: DeadLetterAlert, signal: AbortSignal) => Promise<void>;

/** The channels that this worker can reach. */
export type AlertDeliveries = ReadonlyMap<AlertChannel, Deliver>;

/** An alert that a channel did not take. Its message is logged and given to Temporal: no secrets, nothing foreign. */
export class AlertRefusedError extends Error {
  override readonly name = 'AlertRefusedError';

  constructor(
    readonly problem: string,
    /** What the receiver asked for. */
    readonly retryAfterMs: number | null = null,
    /** Trying again makes no sense: the receiver said so. */
    readonly final = false,
  ) {
    super(problem);
  }
}
