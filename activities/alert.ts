/**
 * One try to bring an alert to those who do not have it yet.
 *
 * @module
 */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { AlertRefusedError } from '../src/core/alert.ts';
import type { AlertChannel } from '../src/core/alert.ts';
import { crashPoint } from '../src/platform/crash-points.ts';
import { reportFailure } from '../src/attempts/failure-report.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { backoffDelayMs, DEFAULT_RETRY_POLICY } from '../src/core/retry-policy.ts';
import type { AlertTry } from '../src/store/alerts.ts';
import { beginAlertTry, noteDelivered, noteUndelivered } from '../src/store/alerts.ts';
import { limitBytes } from '../src/core/text.ts';
import { retryWhenDatabaseUnavailable, refusal } from './temporal-failures.ts';
import type { AlertDependencies } from './dependencies.ts';

/** In one worker: receivers that hang must not take the slots of commands that are tried again. */
export const ALERTS_AT_ONCE = 4;
const MAX_ERROR_BYTES = 2_000;
/** Receivers that were away are not all called in the same moment. */
const JITTER = 0.1;

/** Why a channel does not have the alert. */
interface Setback {
  channel: AlertChannel;
  /** Without anything foreign: for the log and for Temporal. */
  problem: string;
  retryAfterMs: number | null;
  givenUp: boolean;
}

export function createAlertDelivery(dependencies: AlertDependencies) {
  const { records, giveUpMs } = dependencies;
  let underWay = 0;
  /** @throws ApplicationFailure when it has to be tried again, or was given up */
  return async function tellOfDeadLetters(alertId: unknown): Promise<void> {
    const id = z.uuid().safeParse(alertId);
    if (!id.success) throw refusal(FAILURE.invalidAlert, 'the argument is no id of an alert');
    if (underWay >= ALERTS_AT_ONCE) throw busy();
    underWay += 1;
    try {
      const begun = await retryWhenDatabaseUnavailable(beginAlertTry(records, id.data, giveUpMs));
      if (begun) await tellAll(dependencies, begun);
    } finally {
      underWay -= 1;
    }
  };
}

/** Nobody waits for anybody: a hook that fails keeps no webhook back, and is not called again because of one. */
async function tellAll(dependencies: AlertDependencies, begun: AlertTry): Promise<void> {
  const told = await Promise.allSettled(begun.waiting.map((channel) => tell(dependencies, begun, channel)));
  const lost = told.find((each) => each.status === 'rejected');
  if (lost) throw lost.reason;
  const setbacks = told.flatMap((each) => (each.status === 'fulfilled' && each.value ? [each.value] : []));
  if (setbacks.length === 0) return;
  const problem = setbacks.map((each) => `${each.channel} ${each.problem}`).join('; ');
  if (setbacks.every(({ givenUp }) => givenUp)) throw refusal(FAILURE.alertGivenUp, `given up: ${problem}`);
  throw again(problem, delayMs(begun.tries, setbacks));
}

/** Null: the channel has the alert, and Postgres knows. */
async function tell(
  { records, deliveries, log }: AlertDependencies,
  { alert, tries, last }: AlertTry,
  channel: AlertChannel,
): Promise<Setback | null> {
  const { alertId } = alert;
  const signal = Context.current().cancellationSignal;
  const example = alert.messageIds[0] ?? '';
  try {
    await crashPoint('alert-before-delivery', example);
    const deliver = deliveries.get(channel);
    if (!deliver) throw new AlertRefusedError(NOT_HERE[channel]);
    await deliver(alert, signal);
  } catch (error) {
    const { problem, text, retryAfterMs, final } = describe(error);
    // One that was cut short by a shutdown has not had its chance.
    const givenUp = final || (last && !signal.aborted);
    const note = { error: limitBytes(`${channel} ${text}`, MAX_ERROR_BYTES), givenUp };
    await retryWhenDatabaseUnavailable(noteUndelivered(records, alertId, channel, note));
    const facts = { alertId, channel, problem, tries };
    if (givenUp) log.error('alert was given up: nobody is told of these dead letters', facts);
    else log.warn('alert was not delivered, will be tried again', facts);
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

/** Another worker wanted it, whose settings are not those of this one. */
const NOT_HERE: Record<AlertChannel, string> = {
  hook: 'is not here: this worker has no onDeadLetter, give all workers of a task queue the same',
  webhook: 'is not here: this worker has no INBOX_ALERT_URL, give all workers of a task queue the same',
};

/** What a hook throws may hold anything: its message stays in Postgres, as `text`. */
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

/** From a second to 5 minutes; longer than that not even when a receiver asks for it. */
function delayMs(tries: number, setbacks: readonly Setback[]): number {
  const asked = Math.max(0, ...setbacks.map(({ retryAfterMs }) => retryAfterMs ?? 0));
  const usual = backoffDelayMs(DEFAULT_RETRY_POLICY, tries);
  const delay = Math.min(Math.max(usual, asked), DEFAULT_RETRY_POLICY.maximumIntervalMs);
  return Math.round(delay * (1 + JITTER * Math.random()));
}

function busy(): ApplicationFailure {
  const delay = Math.round(5_000 + 10_000 * Math.random());
  return again(`this worker has ${ALERTS_AT_ONCE} alerts under way already`, delay);
}

function again(message: string, nextRetryDelay: number): ApplicationFailure {
  const failure = ApplicationFailure.create({ type: FAILURE.alertUndelivered, message, nextRetryDelay });
  // Ours tells nobody anything.
  failure.stack = '';
  return failure;
}
