/**
 * From the failures of activities back to what the attempt meant.
 *
 * @module
 */
import { ActivityFailure, ApplicationFailure, isCancellation, TemporalFailure } from '@temporalio/workflow';
import type { AttemptFailure, CommandFacts, FailureNews } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';

export interface Death {
  kind: 'dead';
  facts: CommandFacts;
  failure: FailureNews;
  failureGroup: string;
  reason: string;
}

/** Not this time. Without facts nothing is known of the command, not even whether it is in Postgres. */
export interface Setback {
  kind: 'setback';
  facts: CommandFacts | null;
  failure: FailureNews | null;
  nextRetryAt: string | null;
  /** Why nothing was tried, where the attempt said so. */
  problem?: string;
}

/**
 * A local activity's throw is a bare ApplicationFailure, an ordinary one's is wrapped in ActivityFailure; a timeout,
 * or whatever the attempt did not throw on purpose, says nothing about the row and is a setback.
 *
 * @throws the failure itself when it is a cancellation or a refusal, and InvalidEnvelope when the activity could not even
 *   be scheduled: then the workflow ends with it
 */
export function readFailure(error: unknown): Death | Setback {
  if (isCancellation(error)) throw error;
  if (!(error instanceof TemporalFailure))
    throw ApplicationFailure.nonRetryable(cannotPassOn(error), FAILURE.invalidEnvelope);
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const failure = cause instanceof ApplicationFailure ? cause : null;
  const answer = failure?.details?.[0] as AttemptFailure | undefined;
  switch (answer?.outcome) {
    case 'dead':
      return { kind: 'dead', ...pick(answer), failureGroup: answer.failureGroup, reason: answer.reason };
    case 'retry':
      return { kind: 'setback', ...pick(answer), nextRetryAt: answer.nextRetryAt };
    case 'refused':
      throw ApplicationFailure.nonRetryable(failure!.message, failure!.type ?? FAILURE.invalidEnvelope);
    case 'unavailable':
      return { ...UNKNOWN, problem: failure!.message };
    case undefined:
      return UNKNOWN;
  }
}

const UNKNOWN: Setback = { kind: 'setback', facts: null, failure: null, nextRetryAt: null };

/** What no activity can be given, such as JSON that is nested so deeply that it cannot be written again. */
export function cannotPassOn(error: unknown): string {
  return `the argument cannot be passed on: ${error instanceof Error ? error.message : String(error)}`;
}

function pick({ facts, failure }: { facts: CommandFacts; failure: FailureNews }) {
  return { facts, failure };
}
