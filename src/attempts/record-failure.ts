/**
 * Records a failed attempt and decides whether the command is retried or becomes a dead letter.
 *
 * @module
 */
import type { FailureReport } from './failure-report.ts';
import { errorText, failureGroup } from './failure-report.ts';
import { retryDelayMs, DEFAULT_RETRY_POLICY, isExhausted } from '../core/retry-policy.ts';
import type { Entry } from '../store/entries.ts';
import type { FailedAttempt } from '../store/failures.ts';
import { recordDeadLetter, recordTransientFailure } from '../store/failures.ts';
import type { AttemptDependencies } from './dependencies.ts';

/** A handler can ask for any delay, but more than 30 days is a mistake, and Temporal's timers have limits too. */
const MAX_DELAY_MS = 30 * 24 * 3_600_000;

/** The entry's new state, and when the next attempt is due or why there is none. */
export type RecordedFailure =
  | { kind: 'retry'; entry: Entry; delayMs: number }
  | { kind: 'dead'; entry: Entry; failureGroup: string; reason: 'unrecoverable' | 'exhausted' };

/**
 * Records the failure and decides whether the command is retried or becomes a dead letter.
 *
 * @param handOver - the attempt had no workflow: mark its entry as needing one
 * @returns null if the attempt is stale; then nothing was written
 */
export async function recordFailure(
  dependencies: AttemptDependencies,
  entry: Entry,
  report: FailureReport,
  handOver = false,
): Promise<RecordedFailure | null> {
  const policy = dependencies.registry.get(entry.commandType)?.retry ?? DEFAULT_RETRY_POLICY;
  if (!report.retryable) return recordDeath(dependencies, entry, report, 'unrecoverable', handOver);
  if (isExhausted(policy, entry.retryCount + 1))
    return recordDeath(dependencies, entry, report, 'exhausted', handOver);
  const delayMs = Math.min(report.delayMs ?? retryDelayMs(policy, entry.retryCount + 1), MAX_DELAY_MS);
  const failed = await recordTransientFailure(
    dependencies.records,
    describe(dependencies, entry, report),
    delayMs,
    handOver,
  );
  if (!failed) return null;
  dependencies.log.warn('attempt failed and will be retried', { ...logFields(entry, report), delayMs });
  return { kind: 'retry', entry: failed, delayMs };
}

async function recordDeath(
  dependencies: AttemptDependencies,
  entry: Entry,
  report: FailureReport,
  reason: 'unrecoverable' | 'exhausted',
  handOver: boolean,
): Promise<RecordedFailure | null> {
  const group = failureGroup(entry.commandType, report);
  const death = { reason, failureGroup: group, details: report.details ?? null };
  const failed = describe(dependencies, entry, report);
  const dead = await recordDeadLetter(dependencies.records, failed, death, handOver);
  if (!dead) return null;
  dependencies.log.error('command is a dead letter', { ...logFields(entry, report), reason });
  return { kind: 'dead', entry: dead, failureGroup: group, reason };
}

/** Fields for the log. The error's message is left out, because it may contain parts of the payload. */
function logFields(entry: Entry, report: FailureReport) {
  const { messageId, commandType, attempt } = entry;
  return { messageId, commandType, attempt, errorType: report.type };
}

function describe(dependencies: AttemptDependencies, entry: Entry, report: FailureReport): FailedAttempt {
  return {
    messageId: entry.messageId,
    attempt: entry.attempt,
    errorType: report.type,
    error: errorText(report),
    stack: report.stack,
    retryable: report.retryable,
    worker: dependencies.worker,
    buildId: dependencies.buildId,
  };
}
