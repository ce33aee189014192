/**
 * Writes a failed attempt down, and decides: again, or dead.
 *
 * @module
 */
import type { ApplicationFailure } from '@temporalio/common';
import type { FailureReport } from '../src/failure.ts';
import { errorText, failureGroup } from '../src/failure.ts';
import { retryDelayMs, DEFAULT_RETRY_POLICY, isExhausted } from '../src/retry.ts';
import type { Entry } from '../src/store/entries.ts';
import type { FailedAttempt } from '../src/store/failures.ts';
import { recordDeadLetter, recordTransientFailure } from '../src/store/failures.ts';
import { deadLetterFailure, factsOf, transientFailure } from './answers.ts';
import type { ActivityDependencies } from './dependencies.ts';

/** A handler may ask for any delay; beyond 30 days it is a mistake, and Temporal's timers have limits, too. */
const MAX_DELAY_MS = 30 * 24 * 3_600_000;

/**
 * The failure to tell Temporal, or null when the attempt is stale and nothing was written.
 *
 * @param handOver - the attempt had no workflow; its entry is noted as one that needs it
 */
export async function recordFailure(
  dependencies: ActivityDependencies,
  entry: Entry,
  report: FailureReport,
  handOver = false,
): Promise<ApplicationFailure | null> {
  const policy = dependencies.registry.get(entry.commandType)?.retry ?? DEFAULT_RETRY_POLICY;
  if (!report.retryable) return bury(dependencies, entry, report, 'unrecoverable', handOver);
  if (isExhausted(policy, entry.retryCount + 1))
    return bury(dependencies, entry, report, 'exhausted', handOver);
  const delayMs = Math.min(report.delayMs ?? retryDelayMs(policy, entry.retryCount + 1), MAX_DELAY_MS);
  const failed = await recordTransientFailure(
    dependencies.records,
    describe(dependencies, entry, report),
    delayMs,
    handOver,
  );
  if (!failed) return null;
  dependencies.log.warn('attempt failed, will be tried again', { ...subject(entry, report), delayMs });
  const facts = factsOf(dependencies, failed, dependencies.registry.get(failed.commandType));
  return transientFailure(facts, report, failed.retryCount, failed.nextRetryAt!, delayMs);
}

async function bury(
  dependencies: ActivityDependencies,
  entry: Entry,
  report: FailureReport,
  reason: 'unrecoverable' | 'exhausted',
  handOver: boolean,
): Promise<ApplicationFailure | null> {
  const group = failureGroup(entry.commandType, report);
  const death = { reason, failureGroup: group };
  const failed = describe(dependencies, entry, report);
  const dead = await recordDeadLetter(dependencies.records, failed, death, handOver);
  if (!dead) return null;
  dependencies.log.error('command is a dead letter', { ...subject(entry, report), reason });
  const facts = factsOf(dependencies, dead, dependencies.registry.get(dead.commandType));
  return deadLetterFailure(facts, report, dead.retryCount, group, reason);
}

/** For the log: never the message of the error, which may repeat what was in the payload. */
function subject(entry: Entry, report: FailureReport) {
  const { messageId, commandType, attempt } = entry;
  return { messageId, commandType, attempt, errorType: report.type };
}

function describe(dependencies: ActivityDependencies, entry: Entry, report: FailureReport): FailedAttempt {
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
