/**
 * Handles a canceled workflow: its command must not be retried automatically.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import { inboxFailure } from '../src/attempts/failure-report.ts';
import type { AttemptOutcome } from '../src/core/activity-messages.ts';
import { FAILURE, WORKFLOW_TYPE } from '../src/core/protocol.ts';
import { claimEntry, findEntry } from '../src/store/entries.ts';
import { recordedFailure, retryWhenDatabaseUnavailable, staleAttemptFailure } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';

export function createCancel(dependencies: ActivityDependencies) {
  /**
   * Makes an open entry a dead letter, so that an operator decides what to do with it. If the entry completed in the
   * meantime, returns its result.
   *
   * @throws ApplicationFailure: non-retryable with the dead letter, or retryable if another attempt superseded this one
   */
  return async function deadLetterCancelled(): Promise<AttemptOutcome | null> {
    const { records } = dependencies;
    const { workflowExecution, workflowType } = activityInfo();
    const messageId = workflowExecution!.workflowId;
    // The ID can be that of a command of another type, which this workflow must leave alone.
    const types = workflowType === WORKFLOW_TYPE ? null : [workflowType!];
    // Claims the entry, so that an attempt that may still be running becomes stale.
    const entry =
      (await retryWhenDatabaseUnavailable(claimEntry(records, messageId, { types }))) ??
      (await retryWhenDatabaseUnavailable(findEntry(records, messageId)));
    if (entry && types && !types.includes(entry.commandType)) return null;
    if (entry?.status === 'Completed') return { kind: 'completed', result: entry.result };
    if (entry?.status !== 'Processing') return null;
    // The failure group depends on this message, so a new wording or spelling would split existing groups.
    const message =
      'the workflow was cancelled; replay the dead letter to run the command again, or discard it';
    const report = inboxFailure(FAILURE.cancelled, message, false);
    const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
    throw recorded ? recordedFailure(dependencies, report, recorded) : staleAttemptFailure(entry.attempt);
  };
}
