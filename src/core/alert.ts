/**
 * Alerts about dead letters.
 *
 * @module
 */

/** How alerts are delivered: by the hook in code, and by the webhook. The same values as in `inbox.alerts.waiting`. */
export const ALERT_CHANNELS = ['hook', 'webhook'] as const;
export type AlertChannel = (typeof ALERT_CHANNELS)[number];

/**
 * Replaces the failure group, command type and error type in an alert about several groups: see `MAX_ALERTS_PER_WINDOW`.
 * No failure group can have this name, because every group name contains a slash.
 */
export const OTHER_GROUPS = '(other groups)';

/**
 * Dead letters of one failure group, or of several (`(other groups)`). It contains no payloads, and no error messages,
 * which may repeat a payload. `inbox show` displays both to people who may see them.
 */
export interface DeadLetterAlert {
  /** The same each time this alert is delivered: use it to drop duplicates. */
  alertId: string;
  /** Identifies the dead letters that have the same cause. */
  failureGroup: string;
  commandType: string;
  errorType: string;
  /** Number of dead letters in this alert. */
  count: number;
  firstDeadAt: Date;
  lastDeadAt: Date;
  createdAt: Date;
  /** The message ids of the first few dead letters. */
  messageIds: string[];
  /**
   * The list of these dead letters in Temporal's Web UI. Null if the worker does not know the Web UI's address
   * (INBOX_TEMPORAL_UI_URL).
   */
  webUiUrl: string | null;
}

/** An alert as Postgres stores it. */
export type StoredAlert = Omit<DeadLetterAlert, 'webUiUrl'>;

/**
 * Called with dead letters after they are committed, at least once for each alert. The call is retried if the hook throws or
 * takes longer than 30 s.
 *
 * @param context - `signal` is aborted when the time limit has passed or the worker shuts down
 * @example
 * onDeadLetter: async ({ alertId, count, failureGroup }) => page({ dedupKey: alertId, text: `${count} × ${failureGroup}` })
 */
export type DeadLetterHook = (
  alert: DeadLetterAlert,
  context: { signal: AbortSignal },
) => Promise<void> | void;

/** Delivers an alert to one channel. It resolves when the receiver has confirmed that it has the alert. */
export type Deliver = (alert: DeadLetterAlert, signal: AbortSignal) => Promise<void>;

/** The channels that this worker can deliver to. */
export type AlertDeliveries = ReadonlyMap<AlertChannel, Deliver>;

/**
 * A channel did not accept an alert. The message is logged and sent to Temporal, so it must contain no secrets and nothing
 * that the receiver wrote.
 */
export class AlertRefusedError extends Error {
  override readonly name = 'AlertRefusedError';

  constructor(
    readonly problem: string,
    /** The delay that the receiver asked for, in ms. */
    readonly retryAfterMs: number | null = null,
    /** True if the receiver said that retrying is pointless. */
    readonly final = false,
  ) {
    super(problem);
  }
}
