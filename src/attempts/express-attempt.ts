/**
 * The first attempt of an express command, which no workflow runs.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { crashPoint } from '../platform/crash-points.ts';
import { acquire } from '../platform/postgres.ts';
import type { Entry, RecordMark } from '../store/entries.ts';
import { START_LEASE_MS } from '../store/dispatch.ts';
import type { AttemptDependencies } from './dependencies.ts';
import { giveBack } from './undo-claim.ts';
import { performAttempt, reportOf, tooManyInterruptions } from './run-attempt.ts';
import type { Completed, Interrupted, NotCompleted } from './run-attempt.ts';
import { recordFailure } from './record-failure.ts';
import { StaleAttemptError } from './handler-transaction.ts';

/**
 * handOver: it failed or died, and needs its workflow. settled: another attempt has taken it over, or will, because this one
 * was interrupted.
 */
export type ExpressOutcome = Completed | { kind: 'settled' } | { kind: 'handOver' };

export type ExpressAttempt = (entry: Entry, record?: RecordMark) => Promise<ExpressOutcome>;

/** No hot loop while Postgres has no connection to give. */
const REST_MS = 500;

/**
 * Runs an entry that was claimed. Rejects when Postgres could not be worked with: the entry is then Processing, without an
 * attempt, until the reconciler takes it up.
 */
export function createExpressAttempt(dependencies: AttemptDependencies): ExpressAttempt {
  return async (entry, record) => {
    const performed = await connectAndPerform(dependencies, entry, record);
    if (performed.kind === 'completed') return performed;
    if (performed.kind === 'interrupted') {
      const how = { interrupted: performed.connectionFailed, takenAgoMs: START_LEASE_MS - REST_MS };
      const givenBack = await giveBack(dependencies, entry, performed.error, how);
      if (givenBack !== 'refused') return { kind: 'settled' };
      return settleFailure(dependencies, entry, tooManyInterruptions(performed.error));
    }
    if (performed.error instanceof StaleAttemptError) return { kind: 'settled' };
    return settleFailure(dependencies, entry, performed.error);
  };
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
): Promise<ExpressOutcome> {
  await crashPoint('before-failure-recorded', entry.messageId);
  const recorded = await recordFailure(dependencies, entry, reportOf(error), true);
  await crashPoint('after-failure-recorded', entry.messageId);
  // Null: the answer to its COMMIT was lost, and it had completed; or it was overtaken.
  return { kind: recorded ? 'handOver' : 'settled' };
}
