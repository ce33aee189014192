/**
 * Determines whether a workflow with one of our IDs is ours; any other workflow is called foreign. A namespace is shared,
 * and anyone in it may use any workflow ID. Every start that finds a running workflow, and every signal, checks this first.
 *
 * @module
 */
import type { Client, WorkflowStartOptions } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/common';
import { InboxError, WorkflowIdTakenError } from '../core/errors.ts';
import { INBOX_MEMO } from '../core/protocol.ts';
import { describeWorkflow, isDenied } from './workflow-description.ts';
import type { WorkflowDescription } from './workflow-description.ts';

export interface WorkflowOwner {
  client: Client;
  taskQueue: string;
  /** The id of this inbox's database, from `inbox.identity`. Without it, only the task queue distinguishes inboxes. */
  inbox?: string | null;
}

/** A workflow of this inbox, to start or to signal. */
export interface OwnWorkflow {
  type: string;
  /** Returns whether an existing workflow of this type can be this workflow. Default: only `type` can. */
  isType?: (type: string) => boolean;
  options: Omit<WorkflowStartOptions, 'taskQueue' | 'memo' | 'workflowIdConflictPolicy'> & {
    args: unknown[];
  };
}

/**
 * Returns whether a workflow with one of our IDs is ours: it has an expected type and was started by this inbox. Workflows
 * started by other clients or older releases don't name an inbox; they are ours if they use our task queue.
 */
export function isOurs(
  found: Pick<WorkflowDescription, 'type' | 'taskQueue' | 'inbox'>,
  isType: (type: string) => boolean,
  { taskQueue, inbox }: Pick<WorkflowOwner, 'taskQueue' | 'inbox'>,
): boolean {
  if (!isType(found.type)) return false;
  return found.inbox !== null && inbox ? found.inbox === inbox : found.taskQueue === taskQueue;
}

/** Creates the error for a foreign workflow. */
export function workflowIdTakenError({
  workflowId,
  type,
  taskQueue,
  runId,
  inbox,
}: WorkflowDescription): WorkflowIdTakenError {
  return new WorkflowIdTakenError(workflowId, type, taskQueue, runId, inbox);
}

function typeCheck({ type, isType }: OwnWorkflow): (type: string) => boolean {
  return isType ?? ((found) => found === type);
}

/** Limits the retries that are needed because another client can use or free the ID between two calls. */
const MAX_TRIES = 4;

/**
 * Starts a workflow unless ours already exists. A closed workflow of ours counts as existing only with `REJECT_DUPLICATE`; a
 * closed foreign workflow never does.
 *
 * @returns the new run, or null if ours already existed
 * @throws WorkflowIdTakenError if a foreign workflow with this ID is running; the client's error if Temporal cannot be
 *   reached or refuses the start
 */
export async function startUnlessExists(
  owner: WorkflowOwner,
  workflow: OwnWorkflow,
): Promise<{ runId: string; eager: boolean } | null> {
  const { client, taskQueue, inbox } = owner;
  const { type, options } = workflow;
  let { workflowIdReusePolicy = 'ALLOW_DUPLICATE' } = options;
  for (let tries = 1; ; tries += 1) {
    try {
      const handle = await client.workflow.start(type, {
        ...options,
        taskQueue,
        workflowIdReusePolicy,
        workflowIdConflictPolicy: 'FAIL',
        ...(inbox && { memo: { [INBOX_MEMO]: inbox } }),
      });
      return { runId: handle.firstExecutionRunId, eager: handle.eagerlyStarted };
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      const found = await describeIfAllowed(client, options.workflowId);
      if (found === 'denied' || (found && isOurs(found, typeCheck(workflow), owner))) return null;
      if (found?.isRunning) throw workflowIdTakenError(found);
      if (tries >= MAX_TRIES) throw error;
      // A closed foreign workflow must not prevent the start.
      workflowIdReusePolicy = 'ALLOW_DUPLICATE';
    }
  }
}

/** A client that may start but not describe workflows cannot identify the owner, and has to assume that it is this inbox. */
async function describeIfAllowed(
  client: Client,
  workflowId: string,
): Promise<WorkflowDescription | 'denied' | null> {
  try {
    return await describeWorkflow(client, workflowId);
  } catch (error) {
    if (isDenied(error)) return 'denied';
    throw error;
  }
}

/**
 * Signals our workflow, and starts it first if it isn't running. Unlike signalWithStart, this can never signal a foreign
 * workflow: it checks the owner first and signals exactly the run that it checked.
 *
 * @throws WorkflowIdTakenError if a foreign workflow with this ID is running; the client's error if Temporal cannot be
 *   reached or refuses the call
 */
export async function signalOrStart(
  owner: WorkflowOwner,
  workflow: OwnWorkflow,
  signal: string,
  argument: unknown,
): Promise<void> {
  const { workflowId } = workflow.options;
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const found = await describeWorkflow(owner.client, workflowId);
    if (found?.isRunning && !isOurs(found, typeCheck(workflow), owner)) throw workflowIdTakenError(found);
    const runId = found?.isRunning ? found.runId : (await startUnlessExists(owner, workflow))?.runId;
    // Another client has just started it.
    if (runId === undefined) continue;
    try {
      await owner.client.workflow.getHandle(workflowId, runId).signal(signal, argument);
      return;
    } catch (error) {
      // The run has closed in the meantime, or continued as a new run.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
  throw new InboxError(
    `workflow ${JSON.stringify(workflowId)} closed ${MAX_TRIES} times before it received the ${signal} signal; try again`,
  );
}
