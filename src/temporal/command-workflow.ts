/**
 * The workflow of a command: its type, and the arguments that the inbox starts it with.
 *
 * @module
 */
import {
  ALERT_WORKFLOW_TYPE,
  CAMPAIGN_WORKFLOW_TYPE,
  STORED_PAYLOAD,
  WORKFLOW_TYPE,
} from '../core/protocol.ts';
import type { CompletedEnvelope, StoredArgument } from '../core/protocol.ts';

/**
 * Whether the workflows of commands can have the command's type. Workers of earlier releases can only run `handleCommand`,
 * so while one of them polls the task queue, all workflows are started as `handleCommand`.
 */
export interface TypedWorkflows {
  readonly usable: boolean;
}

/** The type and the arguments of a workflow that is started for an entry in Postgres. */
export interface StoredCommand {
  type: string;
  args: unknown[];
}

/**
 * A workflow for an entry that has to be processed. No payload enters Temporal's history.
 *
 * @param commandType - null if it is not known
 */
export function storedCommand(commandType: string | null, typed: TypedWorkflows): StoredCommand {
  if (!typed.usable || commandType === null) return { type: WORKFLOW_TYPE, args: [] };
  const argument: StoredArgument = { stored: true };
  return { type: commandType, args: [STORED_PAYLOAD, argument] };
}

/** A workflow that only records the result of a Completed entry. */
export function completedCommand(
  commandType: string,
  completed: CompletedEnvelope['completed'],
  typed: TypedWorkflows,
): StoredCommand {
  if (!typed.usable) {
    const envelope: CompletedEnvelope = { commandType, completed };
    return { type: WORKFLOW_TYPE, args: [envelope] };
  }
  const argument: StoredArgument = { stored: true, completed: completed.at };
  return { type: commandType, args: [STORED_PAYLOAD, argument] };
}

/** The choice of a client that cannot ask Postgres for the workers: it is used once they have been upgraded. */
export const ALWAYS_TYPED: TypedWorkflows = { usable: true };

/** Returns whether the workflow of a command may have this type. A command type of null stands for any command. */
export function isTypeOfCommand(workflowType: string, commandType: string | null): boolean {
  if (workflowType === WORKFLOW_TYPE) return true;
  if (commandType !== null) return workflowType === commandType;
  return workflowType !== CAMPAIGN_WORKFLOW_TYPE && workflowType !== ALERT_WORKFLOW_TYPE;
}
