/**
 * Starts the workflow of an entry that is in Postgres: by its ID and without an argument, so that no payload enters
 * Temporal's history.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import type { SearchAttributePair } from '@temporalio/common';
import { SEARCH_ATTRIBUTES, WORKFLOW_TYPE } from './protocol.ts';
import type { EntryToStart } from './store/starts.ts';

export interface Starter {
  client: Client;
  taskQueue: string;
  /** Whether the namespace has the inbox's search attributes: an unknown one fails the start. */
  searchAttributes: boolean;
  /** Default true; only the connection of a worker can be asked for it. */
  eager?: boolean;
}

/**
 * eager: its first workflow task came with the answer, so this process runs it at once. queued: some worker will.
 * running: it had been started already.
 */
export type Started = 'eager' | 'queued' | 'running';

const COMMAND_TYPE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.commandType, SearchAttributeType.KEYWORD);
const CORRELATION_ID = defineSearchAttributeKey(SEARCH_ATTRIBUTES.correlationId, SearchAttributeType.KEYWORD);

/** @throws what the client throws when Temporal cannot be reached or refuses the start */
export async function startEntry(starter: Starter, entry: EntryToStart): Promise<Started> {
  try {
    const handle = await starter.client.workflow.start(WORKFLOW_TYPE, {
      workflowId: entry.messageId,
      taskQueue: starter.taskQueue,
      args: [],
      // A run that has ended (terminated, cancelled, timed out) is no reason not to go on: the row decides.
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      requestEagerStart: starter.eager ?? true,
      staticSummary: entry.commandType,
      ...(starter.searchAttributes && { typedSearchAttributes: attributesOf(entry) }),
    });
    return handle.eagerlyStarted ? 'eager' : 'queued';
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return 'running';
    throw error;
  }
}

function attributesOf({ commandType, correlationId }: EntryToStart): TypedSearchAttributes {
  const pairs: SearchAttributePair[] = [{ key: COMMAND_TYPE, value: commandType }];
  if (correlationId) pairs.push({ key: CORRELATION_ID, value: correlationId });
  return new TypedSearchAttributes(pairs);
}
