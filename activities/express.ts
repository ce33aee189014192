/**
 * The first attempt of an express command, which no workflow runs.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { crashPoint } from '../src/crash-points.ts';
import { acquire } from '../src/database.ts';
import type { Entry, RecordMark } from '../src/store/entries.ts';
import { START_LEASE_MS } from '../src/store/starts.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { giveBack } from './give-back.ts';
import { performAttempt, reportOf, tooManyInterruptions } from './perform.ts';
import type { Completed, Interrupted, NotCompleted } from './perform.ts';
import { recordFailure } from './record-failure.ts';
import { StaleAttemptError } from './transaction.ts';

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
export function createExpressAttempt(dependencies: ActivityDependencies): ExpressAttempt {
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
  dependencies: ActivityDependencies,
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
  dependencies: ActivityDependencies,
  entry: Entry,
  error: unknown,
): Promise<ExpressOutcome> {
  await crashPoint('before-failure-recorded', entry.messageId);
  const failure = await recordFailure(dependencies, entry, reportOf(error), true);
  await crashPoint('after-failure-recorded', entry.messageId);
  // Null: the answer to its COMMIT was lost, and it had completed; or it was overtaken.
  return { kind: failure ? 'handOver' : 'settled' };
}
