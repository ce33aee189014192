/**
 * Starts the workflow of an entry that is in Postgres: by its ID and without its payload, so that none enters Temporal's
 * history.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowStartOptions } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import type { SearchAttributePair } from '@temporalio/common';
import { SEARCH_ATTRIBUTES, WORKFLOW_TYPE } from './protocol.ts';
import type { CompletedEnvelope } from './protocol.ts';
import type { EntryToRecord, EntryToStart } from './store/starts.ts';

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
export function startEntry(starter: Starter, entry: EntryToStart): Promise<Started> {
  // A run that has ended (terminated, cancelled, timed out) is no reason not to go on: the row decides.
  return start(starter, entry, { args: [], workflowIdReusePolicy: 'ALLOW_DUPLICATE' });
}

/**
 * Of an entry that is Completed: its workflow ends at once. Where there was one, that is the record.
 *
 * @throws as {@link startEntry}
 */
export function recordEntry(starter: Starter, entry: EntryToRecord): Promise<Started> {
  const { commandType, processedAt, result } = entry;
  const envelope: CompletedEnvelope = { commandType, completed: { at: processedAt.toISOString(), result } };
  return start(starter, entry, { args: [envelope], workflowIdReusePolicy: 'REJECT_DUPLICATE' });
}

/** Of one start; below the lease of the entry, which is given back then. */
const START_LIMIT_MS = 10_000;

/** Rejects when there is no answer for too long: one start that hangs must not keep all others waiting. */
export async function withinStartLimit<T>(messageId: string, work: () => Promise<T>): Promise<T> {
  const answered = new AbortController();
  const tooLong = sleep(START_LIMIT_MS, undefined, { signal: answered.signal }).then(() => {
    throw new Error(`Temporal did not answer the start of ${messageId} for ${START_LIMIT_MS} ms`);
  });
  try {
    return await Promise.race([tooLong, work()]);
  } finally {
    answered.abort();
  }
}

async function start(
  starter: Starter,
  entry: EntryToStart,
  options: Required<Pick<WorkflowStartOptions, 'args' | 'workflowIdReusePolicy'>>,
): Promise<Started> {
  try {
    const handle = await starter.client.workflow.start(WORKFLOW_TYPE, {
      ...options,
      workflowId: entry.messageId,
      taskQueue: starter.taskQueue,
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
