/**
 * A person cancelled the workflow: the command is not to be tried again by itself.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import { inboxFailure } from '../src/attempts/failure-report.ts';
import type { AttemptOutcome } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { claimEntry, findEntry } from '../src/store/entries.ts';
import { overtaken, retryWhenDatabaseUnavailable, recordedFailure } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';

export function createCancel(dependencies: ActivityDependencies) {
  /**
   * Makes an open entry a dead letter, so that it is a person who decides what becomes of it. An entry that completed
   * in the meantime is answered with its result.
   *
   * @throws ApplicationFailure that is not retryable, with the dead letter
   */
  return async function deadLetterCancelled(): Promise<AttemptOutcome | null> {
    const { records } = dependencies;
    const messageId = activityInfo().workflowExecution!.workflowId;
    // A claim, so that an attempt which is still under way somewhere finds itself overtaken.
    const entry =
      (await retryWhenDatabaseUnavailable(claimEntry(records, messageId))) ??
      (await retryWhenDatabaseUnavailable(findEntry(records, messageId)));
    if (entry?.status === 'Completed') return { kind: 'completed', result: entry.result };
    if (entry?.status !== 'Processing') return null;
    const message = `the workflow was cancelled; replay starts the command again, discard gives it up`;
    const report = inboxFailure(FAILURE.cancelled, message, false);
    const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
    throw recorded ? recordedFailure(dependencies, report, recorded) : overtaken(entry.attempt);
  };
}
