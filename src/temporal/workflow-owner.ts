/**
 * Whose workflow it is that has an ID of ours: a namespace is shared, and anyone in it may use any workflow ID. Every start
 * that finds a running workflow, and every signal, is checked here first.
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
  /** The id of this inbox's database, from `inbox.identity`. Without it, the task queue alone tells inboxes apart. */
  inbox?: string | null;
}

/** A workflow to start, or to find running. */
export interface OwnWorkflow {
  type: string;
  options: Omit<WorkflowStartOptions, 'taskQueue' | 'memo' | 'workflowIdConflictPolicy'> & {
    args: unknown[];
  };
}

/**
 * Whether a workflow with an ID of ours is ours: it has the expected type and was started by this inbox. Workflows started by
 * other clients or older releases do not name an inbox; they are ours when they use our task queue.
 */
export function isOurs(
  found: Pick<WorkflowDescription, 'type' | 'taskQueue' | 'inbox'>,
  type: string,
  { taskQueue, inbox }: Pick<WorkflowOwner, 'taskQueue' | 'inbox'>,
): boolean {
  if (found.type !== type) return false;
  return found.inbox !== null && inbox ? found.inbox === inbox : found.taskQueue === taskQueue;
}

/** The error for a workflow that is not ours. */
export function takenBy({
  workflowId,
  type,
  taskQueue,
  runId,
  inbox,
}: WorkflowDescription): WorkflowIdTakenError {
  return new WorkflowIdTakenError(workflowId, type, taskQueue, runId, inbox);
}

/** An ID may be reused between two calls. */
const MOST_TRIES = 4;

/**
 * Starts a workflow unless ours is already there. With `REJECT_DUPLICATE`, ours is there even when it has ended; a foreign
 * one that has ended does not count.
 *
 * @returns the new run, or null when ours was there
 * @throws WorkflowIdTakenError when a foreign workflow with this ID is running; what the client throws when Temporal cannot
 *   be reached or refuses the start
 */
export async function startUnlessThere(
  owner: WorkflowOwner,
  { type, options }: OwnWorkflow,
): Promise<{ runId: string; eager: boolean } | null> {
  const { client, taskQueue, inbox } = owner;
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
      if (found === 'denied' || (found && isOurs(found, type, owner))) return null;
      if (found?.isRunning) throw takenBy(found);
      if (tries >= MOST_TRIES) throw error;
      // A foreign one that has ended is neither our workflow nor our record.
      workflowIdReusePolicy = 'ALLOW_DUPLICATE';
    }
  }
}

/** A client that may start workflows but not describe them cannot tell whose they are, and has to take them for its own. */
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
 * Signals our workflow, and starts it first when none is running. Unlike signalWithStart, this can never signal a foreign
 * workflow: the signal goes to a run that was checked.
 *
 * @throws WorkflowIdTakenError when a foreign workflow with this ID is running; what the client throws when Temporal cannot
 *   be reached or refuses
 */
export async function signalOrStart(
  owner: WorkflowOwner,
  workflow: OwnWorkflow,
  signal: string,
  argument: unknown,
): Promise<void> {
  const { workflowId } = workflow.options;
  for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
    const found = await describeWorkflow(owner.client, workflowId);
    if (found?.isRunning && !isOurs(found, workflow.type, owner)) throw takenBy(found);
    const runId = found?.isRunning ? found.runId : (await startUnlessThere(owner, workflow))?.runId;
    // Somebody else has just started it.
    if (runId === undefined) continue;
    try {
      await owner.client.workflow.getHandle(workflowId, runId).signal(signal, argument);
      return;
    } catch (error) {
      // It ended in the meantime, or continued as a new run.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
  throw new InboxError(
    `workflow ${JSON.stringify(workflowId)} ended ${MOST_TRIES} times before it took the ${signal}; look at it again`,
  );
}
