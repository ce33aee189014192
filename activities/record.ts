/**
 * Reads the result of a command that completed before its workflow started.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import type { CommandRecord } from '../src/core/activity-messages.ts';
import { WORKFLOW_TYPE } from '../src/core/protocol.ts';
import { findRecord } from '../src/store/entries.ts';
import { retryWhenDatabaseUnavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';

export function createRecordReader({ claims }: Pick<ActivityDependencies, 'claims'>) {
  /** Returns null if the command has not completed, no matter what the workflow's argument says. */
  return async function readRecord(): Promise<CommandRecord | null> {
    const { workflowExecution, workflowType } = activityInfo();
    const found = await retryWhenDatabaseUnavailable(findRecord(claims, workflowExecution!.workflowId));
    // The entry may belong to a command of another type.
    if (found && workflowType !== WORKFLOW_TYPE && workflowType !== found.commandType) return null;
    return found && { at: found.processedAt.toISOString(), result: found.result };
  };
}
