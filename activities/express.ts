/**
 * The first attempt of an express command, which no workflow runs.
 *
 * @module
 */
import { crashPoint } from '../src/crash-points.ts';
import type { Entry } from '../src/store/entries.ts';
import { giveBackClaim } from '../src/store/starts.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { performAttempt, reportOf } from './perform.ts';
import { recordFailure } from './record-failure.ts';
import { StaleAttemptError } from './transaction.ts';

/** handOver: it failed or died, and needs its workflow. settled: it completed, or another attempt has taken it over. */
export type ExpressOutcome = 'settled' | 'handOver';

export type ExpressAttempt = (entry: Entry) => Promise<ExpressOutcome>;

/**
 * Runs an entry that was claimed. Rejects when Postgres could not be worked with: the entry is then Processing, without an
 * attempt, until the reconciler takes it up.
 */
export function createExpressAttempt(dependencies: ActivityDependencies): ExpressAttempt {
  return async (entry) => {
    const client = await dependencies.attempts.connect().catch(async (error: unknown) => {
      // It has not begun, so it uses up no try; whoever has a connection takes it up.
      await giveBackClaim(dependencies.records, entry.messageId);
      throw error;
    });
    const performed = await performAttempt(dependencies, entry, client, null);
    if (performed.kind === 'completed' || performed.error instanceof StaleAttemptError) return 'settled';
    await crashPoint('before-failure-recorded', entry.messageId);
    const failure = await recordFailure(dependencies, entry, reportOf(performed.error), true);
    await crashPoint('after-failure-recorded', entry.messageId);
    // Null: the answer to its COMMIT was lost, and it had completed; or it was overtaken.
    return failure ? 'handOver' : 'settled';
  };
}
