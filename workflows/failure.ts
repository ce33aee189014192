/**
 * Converts the failures of activities back to the outcomes that the attempts reported.
 *
 * @module
 */
import { ActivityFailure, ApplicationFailure, isCancellation, TemporalFailure } from '@temporalio/workflow';
import type { AttemptFailure, CommandFacts, FailureSummary } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';

export interface DeadOutcome {
  kind: 'dead';
  facts: CommandFacts;
  failure: FailureSummary;
  failureGroup: string;
  reason: string;
}

/** The command will be retried. Without facts, nothing is known about it, not even whether it is in Postgres. */
export interface RetryOutcome {
  kind: 'retry';
  facts: CommandFacts | null;
  failure: FailureSummary | null;
  nextRetryAt: string | null;
  /** Why nothing was attempted, if the attempt reported a reason. */
  problem?: string;
}

/**
 * Reads the outcome from the failure of an activity. A local activity fails with a bare ApplicationFailure, an ordinary
 * activity with one inside an ActivityFailure. A timeout, or any other failure that the attempt did not throw on purpose,
 * says nothing about the row: the command is retried.
 *
 * @throws the failure itself if it is a cancellation or a refusal, and InvalidEnvelope if the activity could not even be
 *   scheduled; the workflow then fails with it
 */
export function readFailure(error: unknown): DeadOutcome | RetryOutcome {
  if (isCancellation(error)) throw error;
  if (!(error instanceof TemporalFailure))
    throw ApplicationFailure.nonRetryable(serializationProblem(error), FAILURE.invalidEnvelope);
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const failure = cause instanceof ApplicationFailure ? cause : null;
  const reported = failure?.details?.[0] as AttemptFailure | undefined;
  switch (reported?.outcome) {
    case 'dead':
      return {
        kind: 'dead',
        ...pick(reported),
        failureGroup: reported.failureGroup,
        reason: reported.reason,
      };
    case 'retry':
      return { kind: 'retry', ...pick(reported), nextRetryAt: reported.nextRetryAt };
    case 'refused':
      throw ApplicationFailure.nonRetryable(failure!.message, failure!.type ?? FAILURE.invalidEnvelope);
    case 'unavailable':
      return { ...UNKNOWN, problem: failure!.message };
    case undefined:
      return UNKNOWN;
  }
}

/** The refusal of an activity instead of the ActivityFailure around it, so that the workflow fails with the refusal itself. */
export function withoutWrapper(error: unknown): unknown {
  const cause = error instanceof ActivityFailure ? error.cause : null;
  if (!(cause instanceof ApplicationFailure) || !cause.nonRetryable) return error;
  return ApplicationFailure.nonRetryable(cause.message, cause.type ?? undefined);
}

const UNKNOWN: RetryOutcome = { kind: 'retry', facts: null, failure: null, nextRetryAt: null };

/**
 * Describes why an argument cannot be passed to an activity, such as JSON that is nested too deeply to be serialized.
 */
export function serializationProblem(error: unknown): string {
  return `the argument cannot be serialized: ${error instanceof Error ? error.message : String(error)}`;
}

function pick({ facts, failure }: { facts: CommandFacts; failure: FailureSummary }) {
  return { facts, failure };
}
