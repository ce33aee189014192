/**
 * How an attempt that did not complete is told to Temporal: the failure that the Web UI shows, with details for the
 * workflow.
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
import { DEFAULT_RETRY_POLICY } from '../src/core/retry-policy.ts';
import type { Entry } from '../src/store/entries.ts';
import { limitBytes } from '../src/core/text.ts';
import type { RecordedFailure } from '../src/attempts/record-failure.ts';
import { AttemptInterruptedError } from '../src/attempts/attempt-deadline.ts';

/** Temporal keeps failures in its history, where 4 KB of text is plenty; all of the stack is in `inbox.failures`. */
const MAX_STACK_BYTES = 2_000;

/** Where the facts about a command come from. */
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

/** The failure of an attempt, as it was recorded. */
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

/** Will be tried again: the row says when, and Temporal is told the same delay. */
export function transientFailure(
  facts: CommandFacts,
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  retryCount: number,
  nextRetryAt: Date,
  delayMs: number,
): ApplicationFailure {
  return answer(report, {
    details: {
      outcome: 'retry',
      facts,
      failure: { type: report.type, message: report.message, retryCount },
      nextRetryAt: nextRetryAt.toISOString(),
    },
    delayMs,
  });
}

/** A dead letter: Temporal must not try again, the workflow waits for a person. */
export function deadLetterFailure(
  facts: CommandFacts,
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  retryCount: number,
  failureGroup: string,
  reason: string,
): ApplicationFailure {
  return answer(report, {
    details: {
      outcome: 'dead',
      facts,
      failure: { type: report.type, message: report.message, retryCount },
      failureGroup,
      reason,
    },
  });
}

/** Nothing was tried, and nothing will be: the workflow fails with this type and message. */
export function refusal(type: string, message: string): ApplicationFailure {
  return answer({ type, message, stack: null }, { details: { outcome: 'refused' } });
}

/** Another attempt of the same command runs, or ran meanwhile; the next look at the row will tell. */
export function overtaken(attempt: number): ApplicationFailure {
  return unavailable(FAILURE.staleAttempt, `attempt ${attempt} was overtaken by another one`, lookAgainMs());
}

/**
 * The attempt did not begin, or was interrupted, by no fault of its command. Its entry waits as before, and Temporal tries again
 * soon, for as long as it takes.
 */
export function interrupted(error: unknown): ApplicationFailure {
  if (!(error instanceof AttemptInterruptedError)) return databaseUnavailable(error);
  return unavailable(FAILURE.inboxUnavailable, error.message, unavailableDelayMs());
}

/**
 * Turns a Postgres that cannot be worked with into a failure that Temporal retries, soon and for as long as it takes:
 * no attempt was used up.
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
      `an earlier attempt, or another transaction, still holds the entry: ${why}`,
      lookAgainMs(),
    );
  }
  return unavailable(
    FAILURE.inboxUnavailable,
    `Postgres could not be worked with: ${why}`,
    unavailableDelayMs(),
  );
}

/** Doubles from a second to 5: another attempt may run for hours, and nothing is to be done until it ends. */
function lookAgainMs(): number {
  return Math.min(1_000 * 2 ** Math.min(activityInfo().attempt - 1, 10), 5_000);
}

/** Doubles from half a second; never long, so that commands go on soon after Postgres is back. */
function unavailableDelayMs(): number {
  return Math.min(500 * 2 ** Math.min(activityInfo().attempt - 1, 10), 10_000);
}

/** Nothing was tried and no attempt was used up; Temporal tries again after the delay. */
export function unavailable(type: string, message: string, delayMs: number): ApplicationFailure {
  return answer({ type, message, stack: null }, { details: { outcome: 'unavailable' }, delayMs });
}

function answer(
  report: Pick<FailureReport, 'type' | 'message' | 'stack'>,
  { details, delayMs }: { details: AttemptFailure; delayMs?: number | undefined },
): ApplicationFailure {
  const final = details.outcome === 'dead' || details.outcome === 'refused';
  const failure = ApplicationFailure.create({
    type: report.type,
    message: report.message,
    nonRetryable: final,
    details: [details],
    ...(delayMs === undefined ? {} : { nextRetryDelay: delayMs }),
  });
  // The handler's own stack, or none: that of this function tells nobody anything.
  failure.stack = report.stack === null ? '' : limitBytes(report.stack, MAX_STACK_BYTES);
  return failure;
}
