/**
 * Creates the failures with which attempts report to Temporal that they did not complete. The Web UI shows a failure's
 * message, and the workflow reads its details.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { isLockNotAvailable } from '../src/platform/postgres.ts';
import { messageOf } from '../src/platform/error-message.ts';
import type { FailureReport } from '../src/attempts/failure-report.ts';
import type { AttemptFailure, CommandFacts } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { ATTRIBUTE_NAMES } from '../src/temporal/search-attributes.ts';
import type { UsableAttributes } from '../src/temporal/search-attributes.ts';
import type { RegisteredCommand, Registry } from '../src/commands/registry.ts';
import { DEFAULT_TIMEOUT_MS } from '../src/commands/registry.ts';
import { DEFAULT_RETRY_POLICY, doublingDelayMs } from '../src/core/retry-policy.ts';
import type { Entry } from '../src/store/entries.ts';
import { limitBytes } from '../src/core/text.ts';
import type { RecordedFailure } from '../src/attempts/record-failure.ts';
import { AttemptInterruptedError } from '../src/attempts/attempt-deadline.ts';

/**
 * Temporal stores failures in its history, so only this much of a stack goes there. The full stack is in `inbox.failures`.
 */
const MAX_STACK_BYTES = 2_000;

/** The sources of the facts about a command. */
export interface FactSources {
  registry: Registry;
  searchAttributes: UsableAttributes;
}

export function factsOf(
  dependencies: Pick<FactSources, 'searchAttributes'>,
  entry: Pick<Entry, 'commandType' | 'correlationId' | 'generation'>,
  command: RegisteredCommand | undefined,
): CommandFacts {
  const usable = ATTRIBUTE_NAMES.filter((name) => dependencies.searchAttributes.has(name));
  return {
    commandType: entry.commandType,
    correlationId: entry.correlationId,
    generation: entry.generation,
    timeoutMs: command?.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    ...(command?.retry ?? DEFAULT_RETRY_POLICY),
    searchAttributes: usable.length === ATTRIBUTE_NAMES.length,
    usableSearchAttributes: usable,
  };
}

/** Reports the failure of an attempt as it was recorded. */
export function recordedFailure(
  dependencies: FactSources,
  report: FailureReport,
  recorded: RecordedFailure,
): ApplicationFailure {
  const { entry } = recorded;
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  return recorded.kind === 'retry'
    ? transientFailure(facts, report, entry.retryCount, entry.nextRetryAt!, recorded.delayMs)
    : deadLetterFailure(facts, report, entry.retryCount, recorded.failureGroup, recorded.reason);
}

/** Reports a failure that is retried. Temporal gets the same delay that the row has. */
export function transientFailure(
  facts: CommandFacts,
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  retryCount: number,
  nextRetryAt: Date,
  delayMs: number,
): ApplicationFailure {
  return createFailure(report, {
    details: {
      outcome: 'retry',
      facts,
      failure: { type: report.type, message: report.message, retryCount },
      nextRetryAt: nextRetryAt.toISOString(),
    },
    delayMs,
  });
}

/** Reports a dead letter: Temporal must not retry, and the workflow waits for an operator. */
export function deadLetterFailure(
  facts: CommandFacts,
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  retryCount: number,
  failureGroup: string,
  reason: string,
): ApplicationFailure {
  return createFailure(report, {
    details: {
      outcome: 'dead',
      facts,
      failure: { type: report.type, message: report.message, retryCount },
      failureGroup,
      reason,
    },
  });
}

/** Reports that there is nothing to attempt, now or later: the workflow fails with this type and message. */
export function refusedFailure(type: string, message: string): ApplicationFailure {
  return createFailure({ type, message, stack: null }, { details: { outcome: 'refused' } });
}

/**
 * Reports that another attempt of the same command is running, or ran in the meantime. The next attempt reads the row again.
 */
export function staleAttemptFailure(attempt: number): ApplicationFailure {
  return unavailable(
    FAILURE.staleAttempt,
    `attempt ${attempt} was superseded by another attempt`,
    staleRetryDelayMs(),
  );
}

/**
 * Reports an attempt that could not start or was interrupted, through no fault of its command. Its entry waits as before,
 * and Temporal keeps retrying with a short delay.
 */
export function interruptedFailure(error: unknown): ApplicationFailure {
  if (!(error instanceof AttemptInterruptedError)) return databaseUnavailable(error);
  return unavailable(FAILURE.inboxUnavailable, error.message, unavailableDelayMs());
}

/**
 * Converts a database error into a failure that Temporal keeps retrying with a short delay. No attempt is counted.
 *
 * @throws ApplicationFailure for every error of `work`
 */
export async function retryWhenDatabaseUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApplicationFailure) throw error;
    throw databaseUnavailable(error);
  }
}

function databaseUnavailable(error: unknown): ApplicationFailure {
  const why = messageOf(error);
  if (isLockNotAvailable(error)) {
    return unavailable(
      FAILURE.attemptRunning,
      `an earlier attempt or another transaction still locks the entry: ${why}`,
      staleRetryDelayMs(),
    );
  }
  return unavailable(FAILURE.inboxUnavailable, `a Postgres operation failed: ${why}`, unavailableDelayMs());
}

/** Doubles from 1 s to 5 s. Another attempt may run for hours, and there is nothing to do until it ends. */
function staleRetryDelayMs(): number {
  return doublingDelayMs(1_000, 5_000, activityInfo().attempt);
}

/** Doubles from 0.5 s to 10 s, so that commands continue soon after Postgres is back. */
function unavailableDelayMs(): number {
  return doublingDelayMs(500, 10_000, activityInfo().attempt);
}

/** Reports that nothing was attempted and no attempt was counted. Temporal retries after the delay. */
export function unavailable(type: string, message: string, delayMs: number): ApplicationFailure {
  return createFailure({ type, message, stack: null }, { details: { outcome: 'unavailable' }, delayMs });
}

function createFailure(
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  { details, delayMs }: { details: AttemptFailure; delayMs?: number | undefined },
): ApplicationFailure {
  const isFinal = details.outcome === 'dead' || details.outcome === 'refused';
  const failure = ApplicationFailure.create({
    type: report.type,
    message: report.message,
    nonRetryable: isFinal,
    details: [details],
    ...(delayMs === undefined ? {} : { nextRetryDelay: delayMs }),
  });
  // The handler's own stack or none: the stack of this function doesn't help anyone.
  failure.stack = report.stack === null ? '' : limitBytes(report.stack, MAX_STACK_BYTES);
  return failure;
}
