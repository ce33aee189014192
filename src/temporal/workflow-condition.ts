/**
 * Finds the problem that blocks the workflow of a message, for `inbox show`, `inbox doctor` and operators' requests.
 *
 * @module
 */
import { FAILURE } from '../core/protocol.ts';
import { isTypeOfCommand } from './command-workflow.ts';
import { describeIntruders, findPollers } from './task-queue-pollers.ts';
import { withinLimit } from './answer-limit.ts';
import { describeWorkflow, lastTaskFailure } from './workflow-description.ts';
import type { WorkflowDescription } from './workflow-description.ts';
import { isOurs, workflowIdTakenError } from './workflow-owner.ts';
import type { WorkflowOwner } from './workflow-owner.ts';

export interface WorkflowCondition {
  /**
   * none: no workflow is running. taken: a foreign workflow has the ID. failing: its workflow task keeps failing.
   * wrongInbox: workers of another inbox get its activities. noWorker: no worker polls its task queue. running: nothing is
   * wrong.
   */
  kind: 'none' | 'taken' | 'failing' | 'wrongInbox' | 'noWorker' | 'running';
  /** The finding, as a sentence. */
  finding: string;
  /** Null if nothing is wrong. */
  remedy: string | null;
}

const MAX_FAILURE_LENGTH = 500;

/**
 * Examines the workflow of a message.
 *
 * @throws the client's error if Temporal cannot be reached or refuses a call
 */
export function examineWorkflow(
  owner: WorkflowOwner,
  { messageId, commandType }: { messageId: string; commandType: string },
  ms = 10_000,
): Promise<WorkflowCondition> {
  const { client } = owner;
  const examine = async (): Promise<WorkflowCondition> => {
    const found = await describeWorkflow(client, messageId);
    if (!found?.isRunning) return { kind: 'none', finding: 'no workflow is running', remedy: null };
    if (!isOurs(found, (type) => isTypeOfCommand(type, commandType), owner)) return taken(found);
    return (await failing(owner, found)) ?? (await unserved(owner, found)) ?? running(found);
  };
  return withinLimit(`the description of workflow ${messageId}`, examine, { client, ms });
}

function taken(found: WorkflowDescription): WorkflowCondition {
  const { problem, remedy } = workflowIdTakenError(found);
  return { kind: 'taken', finding: problem, remedy };
}

async function failing(
  { client }: WorkflowOwner,
  found: WorkflowDescription,
): Promise<WorkflowCondition | null> {
  if (found.taskAttempt <= 1) return null;
  const problem = await lastTaskFailure(client, found);
  if (problem === null) return null;
  return {
    kind: 'failing',
    finding: `its workflow task fails, attempt ${found.taskAttempt}: ${problem.slice(0, MAX_FAILURE_LENGTH)}`,
    remedy:
      'it cannot process requests in this state. If the failure points to another release, run workers of that release; otherwise ' +
      `terminate the workflow (run ${found.runId}): the inbox restarts it automatically, for a dead letter on the next replay or discard`,
  };
}

async function unserved(
  { client, inbox = null }: WorkflowOwner,
  found: WorkflowDescription,
): Promise<WorkflowCondition | null> {
  const pollers = await findPollers(client, client.options.namespace, found.taskQueue, inbox);
  if (pollers.workflow.length === 0) {
    return {
      kind: 'noWorker',
      finding: `no worker has polled its task queue ${found.taskQueue} in the last 90 s`,
      remedy: 'start a worker with this INBOX_TASK_QUEUE',
    };
  }
  const misrouted = found.activities.find(({ failureType }) => failureType === FAILURE.wrongInbox);
  const intruders = describeIntruders({ ...pollers, strangers: [] }, found.taskQueue);
  if (!misrouted && !intruders) return null;
  return {
    kind: 'wrongInbox',
    finding:
      intruders?.problem ?? `workers of another inbox get its activities (task queue ${found.taskQueue})`,
    remedy: intruders?.remedy ?? 'give each inbox its own INBOX_TASK_QUEUE',
  };
}

function running({ taskQueue, runId, activities }: WorkflowDescription): WorkflowCondition {
  const pending = activities.map(({ type, attempt }) => `${type}, attempt ${attempt}`).join('; ');
  return {
    kind: 'running',
    finding: `its workflow is running on task queue ${taskQueue} (run ${runId})${pending === '' ? '' : `: ${pending}`}`,
    remedy: null,
  };
}
