/**
 * The state of a message's workflow in Temporal. Everything else about a message comes from Postgres.
 *
 * @module
 */
import { inboxIdOf } from '../store/inbox-id.ts';
import { examineWorkflow } from '../temporal/workflow-condition.ts';
import type { WorkflowCondition } from '../temporal/workflow-condition.ts';
import { requireEntry } from './queries.ts';
import type { Operator } from './replay-discard.ts';

export type { WorkflowCondition } from '../temporal/workflow-condition.ts';

/**
 * Returns what Temporal knows about the workflow of this message, and the problem that blocks it, if there is one.
 *
 * @param limitMs - how long to wait for Temporal, in ms
 * @throws UnknownMessageError; Error if Temporal does not answer in time
 */
export async function workflowState(
  { pool, client, taskQueue }: Operator,
  messageId: string,
  limitMs: number,
): Promise<WorkflowCondition> {
  const owner = { client, taskQueue, inbox: await inboxIdOf(pool) };
  return examineWorkflow(owner, await requireEntry(pool, messageId), limitMs);
}
