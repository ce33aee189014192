/**
 * One attempt to deliver an alert to the channels that don't have it yet.
 *
 * @module
 */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { AlertRefusedError, OTHER_GROUPS } from '../src/core/alert.ts';
import type { AlertChannel, StoredAlert } from '../src/core/alert.ts';
import { deadLettersLink, failureGroupLink } from '../src/temporal/web-ui.ts';
import type { WebUi } from '../src/temporal/web-ui.ts';
import { crashPoint } from '../src/platform/crash-points.ts';
import { reportFailure } from '../src/attempts/failure-report.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { backoffDelayMs, DEFAULT_RETRY_POLICY } from '../src/core/retry-policy.ts';
import type { AlertTry } from '../src/store/alerts.ts';
import { beginAlertTry, noteDelivered, noteUndelivered } from '../src/store/alerts.ts';
import { limitBytes } from '../src/core/text.ts';
import { refusedFailure, retryWhenDatabaseUnavailable } from './temporal-failures.ts';
import type { AlertDependencies } from './dependencies.ts';

/** The limit for one worker: receivers that hang must not use up the slots of command retries. */
export const MAX_CONCURRENT_ALERTS = 4;
const MAX_ERROR_BYTES = 2_000;
/** Spreads the retries, so that a receiver that was down doesn't get all alerts at the same moment. */
const JITTER = 0.1;

/** Why a channel doesn't have the alert. */
interface DeliveryFailure {
  channel: AlertChannel;
  /** Contains no message text from the hook or the receiver, so it may be logged and sent to Temporal. */
  problem: string;
  retryAfterMs: number | null;
  givenUp: boolean;
}

export function createAlertDelivery(dependencies: AlertDependencies) {
  const { records, giveUpMs } = dependencies;
  let inProgress = 0;
  /** @throws ApplicationFailure if the delivery has to be retried, or was given up */
  return async function tellOfDeadLetters(alertId: unknown): Promise<void> {
    const id = z.uuid().safeParse(alertId);
    if (!id.success) throw refusedFailure(FAILURE.invalidAlert, 'the argument is not the id of an alert');
    if (inProgress >= MAX_CONCURRENT_ALERTS) throw busyFailure();
    inProgress += 1;
    try {
      const begun = await retryWhenDatabaseUnavailable(beginAlertTry(records, id.data, giveUpMs));
      if (begun) await deliverToAll(dependencies, begun);
    } finally {
      inProgress -= 1;
    }
  };
}

/**
 * Channels are independent: a hook that fails doesn't delay the webhook, and a webhook that fails doesn't repeat the hook.
 */
async function deliverToAll(dependencies: AlertDependencies, begun: AlertTry): Promise<void> {
  const results = await Promise.allSettled(
    begun.waiting.map((channel) => deliverTo(dependencies, begun, channel)),
  );
  const unrecorded = results.find((result) => result.status === 'rejected');
  if (unrecorded) throw unrecorded.reason;
  const failures = results.flatMap((result) =>
    result.status === 'fulfilled' && result.value ? [result.value] : [],
  );
  if (failures.length === 0) return;
  const problem = failures.map((failure) => `${failure.channel} ${failure.problem}`).join('; ');
  if (failures.every(({ givenUp }) => givenUp))
    throw refusedFailure(FAILURE.alertGivenUp, `the alert was given up: ${problem}`);
  throw retryLater(problem, delayMs(begun.tries, failures));
}

function linkOf(webUi: WebUi, { failureGroup }: StoredAlert): string {
  return failureGroup === OTHER_GROUPS ? deadLettersLink(webUi) : failureGroupLink(webUi, failureGroup);
}

/** Returns null if the alert was delivered and Postgres has recorded it. */
async function deliverTo(
  { records, deliveries, webUi, log }: AlertDependencies,
  { alert: stored, tries, last }: AlertTry,
  channel: AlertChannel,
): Promise<DeliveryFailure | null> {
  const alert = { ...stored, webUiUrl: webUi && linkOf(webUi, stored) };
  const { alertId } = alert;
  const signal = Context.current().cancellationSignal;
  const example = alert.messageIds[0] ?? '';
  try {
    await crashPoint('alert-before-delivery', example);
    const deliver = deliveries.get(channel);
    if (!deliver) throw new AlertRefusedError(NOT_CONFIGURED[channel]);
    await deliver(alert, signal);
  } catch (error) {
    const { problem, text, retryAfterMs, final } = describe(error);
    // An attempt that a shutdown interrupted doesn't count as the last one.
    const givenUp = final || (last && !signal.aborted);
    const note = { error: limitBytes(`${channel} ${text}`, MAX_ERROR_BYTES), givenUp };
    await retryWhenDatabaseUnavailable(noteUndelivered(records, alertId, channel, note));
    const facts = { alertId, channel, problem, tries };
    if (givenUp) log.error('alert was given up: this channel will not receive these dead letters', facts);
    else log.warn('alert was not delivered and will be retried', facts);
    return { channel, problem, retryAfterMs, givenUp };
  }
  await crashPoint('alert-after-delivery', example);
  await retryWhenDatabaseUnavailable(noteDelivered(records, alertId, channel));
  log.info('alert delivered', {
    alertId,
    channel,
    failureGroup: alert.failureGroup,
    count: alert.count,
    tries,
  });
  return null;
}

/** The problem if the worker that created the alert has a channel that this worker doesn't have. */
const NOT_CONFIGURED: Record<AlertChannel, string> = {
  hook: 'is not configured: this worker has no onDeadLetter; give all workers of a task queue the same one',
  webhook:
    'is not configured: this worker has no INBOX_ALERT_URL; give all workers of a task queue the same one',
};

/** A hook can throw an error with any content, so its message goes to Postgres only, as `text`. */
function describe(error: unknown): {
  problem: string;
  text: string;
  retryAfterMs: number | null;
  final: boolean;
} {
  if (error instanceof AlertRefusedError) {
    const { problem, retryAfterMs, final } = error;
    return { problem, text: problem, retryAfterMs, final };
  }
  const { type, message } = reportFailure(error);
  return { problem: `threw ${type}`, text: `threw ${type}: ${message}`, retryAfterMs: null, final: false };
}

/**
 * Milliseconds until the next attempt: from 1 s to 5 minutes, plus the jitter. A receiver can ask for a longer delay than
 * the usual backoff, but not for more than 5 minutes.
 */
function delayMs(tries: number, failures: readonly DeliveryFailure[]): number {
  const requested = Math.max(0, ...failures.map(({ retryAfterMs }) => retryAfterMs ?? 0));
  const usual = backoffDelayMs(DEFAULT_RETRY_POLICY, tries);
  const delay = Math.min(Math.max(usual, requested), DEFAULT_RETRY_POLICY.maximumIntervalMs);
  return Math.round(delay * (1 + JITTER * Math.random()));
}

function busyFailure(): ApplicationFailure {
  const delay = Math.round(5_000 + 10_000 * Math.random());
  return retryLater(`this worker is already delivering ${MAX_CONCURRENT_ALERTS} alerts`, delay);
}

function retryLater(message: string, nextRetryDelay: number): ApplicationFailure {
  const failure = ApplicationFailure.create({ type: FAILURE.alertUndelivered, message, nextRetryDelay });
  // The stack of this function doesn't help anyone.
  failure.stack = '';
  return failure;
}
