/**
 * The first attempt of an express command, which runs without a workflow.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { crashPoint } from '../platform/crash-points.ts';
import { acquire } from '../platform/postgres.ts';
import type { Entry, RecordMark } from '../store/entries.ts';
import { START_LEASE_MS } from '../store/dispatch.ts';
import type { AttemptDependencies } from './dependencies.ts';
import { undoClaim } from './undo-claim.ts';
import { performAttempt, reportOf, tooManyInterruptions } from './run-attempt.ts';
import type { Completed, Interrupted, NotCompleted } from './run-attempt.ts';
import { recordFailure } from './record-failure.ts';
import { StaleAttemptError } from './handler-transaction.ts';
import { endFailed, traceAttempt } from './trace-attempt.ts';
import type { TracedAttempt } from '../telemetry/traced-attempt.ts';
import { errorTypeOf } from '../telemetry/spans.ts';

/**
 * handOver: the attempt failed or the command became a dead letter, and it needs its workflow now. settled: this process has
 * nothing left to do, because another attempt has taken over, or will take over because this one was interrupted.
 */
export type ExpressOutcome = Completed | { kind: 'settled' } | { kind: 'handOver' };

export type ExpressAttempt = (entry: Entry, record?: RecordMark) => Promise<ExpressOutcome>;

/** How long an interrupted command waits before its next claim, to avoid a hot loop while no connection is available. */
const REST_MS = 500;

/**
 * Runs entries that were claimed. Rejects if the outcome could not be recorded in Postgres: the entry then stays Processing,
 * without a running attempt, until the reconciler finds it.
 */
export function createExpressAttempt(dependencies: AttemptDependencies): ExpressAttempt {
  return (entry, record) => {
    const mode = record === undefined ? 'express' : 'recorded';
    return traceAttempt(dependencies, entry, mode, (traced) => attempt(dependencies, entry, record, traced));
  };
}

async function attempt(
  dependencies: AttemptDependencies,
  entry: Entry,
  record: RecordMark | undefined,
  traced: TracedAttempt,
): Promise<ExpressOutcome> {
  const performed = await connectAndPerform(dependencies, entry, record);
  if (performed.kind === 'completed') {
    traced.end({ outcome: 'completed' });
    return performed;
  }
  if (performed.kind === 'interrupted') {
    const how = { interrupted: performed.connectionFailed, takenAgoMs: START_LEASE_MS - REST_MS };
    const undone = await undoClaim(dependencies, entry, performed.error, how);
    if (undone === 'refused')
      return settleFailure(dependencies, entry, tooManyInterruptions(performed.error), traced);
    traced.end({ outcome: 'interrupted', errorType: errorTypeOf(performed.error) });
    return { kind: 'settled' };
  }
  if (performed.error instanceof StaleAttemptError) return { kind: 'settled' };
  return settleFailure(dependencies, entry, performed.error, traced);
}

async function connectAndPerform(
  dependencies: AttemptDependencies,
  entry: Entry,
  record: RecordMark | undefined,
): Promise<Completed | NotCompleted | Interrupted> {
  let client: PoolClient;
  try {
    client = await acquire(dependencies.attempts);
  } catch (error) {
    return { kind: 'interrupted', error, connectionFailed: false };
  }
  return performAttempt(dependencies, entry, client, null, record);
}

async function settleFailure(
  dependencies: AttemptDependencies,
  entry: Entry,
  error: unknown,
  traced: TracedAttempt,
): Promise<ExpressOutcome> {
  await crashPoint('before-failure-recorded', entry.messageId);
  const report = reportOf(error);
  const recorded = await recordFailure(dependencies, entry, report, true);
  await crashPoint('after-failure-recorded', entry.messageId);
  endFailed(dependencies, traced, report, recorded);
  // Null if the command had completed and only the answer to COMMIT was lost, or if another attempt has started since.
  return { kind: recorded ? 'handOver' : 'settled' };
}
