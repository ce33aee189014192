/**
 * The first attempt of an express command, which no workflow runs.
 *
 * @module
 */
import { crashPoint } from '../src/crash-points.ts';
import type { Entry, RecordMark } from '../src/store/entries.ts';
import { giveBackClaim } from '../src/store/starts.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { performAttempt, reportOf } from './perform.ts';
import type { Completed } from './perform.ts';
import { recordFailure } from './record-failure.ts';
import { StaleAttemptError } from './transaction.ts';

/** handOver: it failed or died, and needs its workflow. settled: another attempt has taken it over. */
export type ExpressOutcome = Completed | { kind: 'settled' } | { kind: 'handOver' };

export type ExpressAttempt = (entry: Entry, record?: RecordMark) => Promise<ExpressOutcome>;

/**
 * Runs an entry that was claimed. Rejects when Postgres could not be worked with: the entry is then Processing, without an
 * attempt, until the reconciler takes it up.
 */
export function createExpressAttempt(dependencies: ActivityDependencies): ExpressAttempt {
  return async (entry, record) => {
    const client = await dependencies.attempts.connect().catch(async (error: unknown) => {
      // It has not begun, so it uses up no try; whoever has a connection takes it up.
      await giveBackClaim(dependencies.records, entry.messageId);
      throw error;
    });
    const performed = await performAttempt(dependencies, entry, client, null, record);
    if (performed.kind === 'completed') return performed;
    if (performed.error instanceof StaleAttemptError) return { kind: 'settled' };
    await crashPoint('before-failure-recorded', entry.messageId);
    const failure = await recordFailure(dependencies, entry, reportOf(performed.error), true);
    await crashPoint('after-failure-recorded', entry.messageId);
    // Null: the answer to its COMMIT was lost, and it had completed; or it was overtaken.
    return { kind: failure ? 'handOver' : 'settled' };
  };
}
