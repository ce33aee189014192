/**
 * The workflow of a command: its type, and the arguments that the inbox starts it with.
 *
 * @module
 */
import { RESERVED_TYPES, STORED_PAYLOAD, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { CompletedEnvelope, StoredArgument } from '../core/protocol.ts';

/**
 * Whether the workflows of commands can have the command's type. Workers of earlier releases can only run `handleCommand`,
 * so while one of them polls the task queue, all workflows are started as `handleCommand`.
 */
export interface TypedWorkflows {
  readonly usable: boolean;
}

/** The type and the arguments of a workflow that is started for an entry in Postgres. */
export interface CommandWorkflow {
  type: string;
  args: unknown[];
}

/**
 * A workflow for an entry that has to be processed. No payload enters Temporal's history.
 *
 * @param commandType - null if it is not known
 */
export function workflowForEntry(commandType: string | null, typed: TypedWorkflows): CommandWorkflow {
  if (commandType === null || !canBeTyped(commandType, typed)) return { type: WORKFLOW_TYPE, args: [] };
  const argument: StoredArgument = { stored: true };
  return { type: commandType, args: [STORED_PAYLOAD, argument] };
}

/** An entry of an earlier release can have a type that is reserved now. */
function canBeTyped(commandType: string, typed: TypedWorkflows): boolean {
  return typed.usable && !RESERVED_TYPES.includes(commandType);
}

/** A workflow that only records the result of a Completed entry. */
export function workflowForRecord(
  commandType: string,
  completed: CompletedEnvelope['completed'],
  typed: TypedWorkflows,
): CommandWorkflow {
  if (!canBeTyped(commandType, typed)) {
    const envelope: CompletedEnvelope = { commandType, completed };
    return { type: WORKFLOW_TYPE, args: [envelope] };
  }
  const argument: StoredArgument = { stored: true, completed: completed.at };
  return { type: commandType, args: [STORED_PAYLOAD, argument] };
}

/** For clients that cannot read `inbox.workers`. The workers must be upgraded before them. */
export const ALWAYS_TYPED: TypedWorkflows = { usable: true };

/** Returns whether the workflow of a command may have this type. A command type of null stands for any command. */
export function isTypeOfCommand(workflowType: string, commandType: string | null): boolean {
  if (workflowType === WORKFLOW_TYPE) return true;
  return commandType === null ? !RESERVED_TYPES.includes(workflowType) : workflowType === commandType;
}
