/**
 * Starts the workflow of an entry in Postgres. The start passes only the ID, so that no payload enters Temporal's history.
 *
 * @module
 */
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import type { SearchAttributePair } from '@temporalio/common';
import { SEARCH_ATTRIBUTES } from '../core/protocol.ts';
import { usableOf } from './search-attributes.ts';
import type { AttributeChoice, UsableAttributes } from './search-attributes.ts';
import type { EntryToRecord, EntryToStart } from '../store/dispatch.ts';
import { ANSWER_LIMIT_MS, withinLimit } from './answer-limit.ts';
import { workflowForRecord, isTypeOfCommand, workflowForEntry } from './command-workflow.ts';
import type { CommandWorkflow, TypedWorkflows } from './command-workflow.ts';
import { GRPC, grpcCodeOf } from './grpc-error.ts';
import { startUnlessExists } from './workflow-owner.ts';
import type { OwnWorkflow, WorkflowOwner } from './workflow-owner.ts';

export interface Starter extends WorkflowOwner {
  /** The search attributes that the namespace has. Setting any other would fail the start. */
  searchAttributes: AttributeChoice;
  typedWorkflows: TypedWorkflows;
  /** Requests an eager start. Defaults to true; works only on a worker's connection. */
  eager?: boolean;
}

/**
 * eager: the response contained the first workflow task, so this process runs it immediately. queued: any worker will run
 * it. running: the workflow had already been started.
 */
export type Started = 'eager' | 'queued' | 'running';

const COMMAND_TYPE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.commandType, SearchAttributeType.KEYWORD);
const CORRELATION_ID = defineSearchAttributeKey(SEARCH_ATTRIBUTES.correlationId, SearchAttributeType.KEYWORD);

/**
 * Starts the workflow of an entry, unless it is running.
 *
 * @throws WorkflowIdTakenError if a foreign workflow with this ID is running; the client's error if Temporal cannot be
 *   reached or refuses the start
 */
export function startEntry(starter: Starter, entry: EntryToStart): Promise<Started> {
  // A closed run (terminated, canceled, timed out) doesn't prevent a new one: the row decides whether there is work to do.
  const workflow = workflowForEntry(entry.commandType, starter.typedWorkflows);
  return start(starter, entry, workflow, 'ALLOW_DUPLICATE');
}

/**
 * Starts a workflow as the record of a Completed entry; the workflow closes immediately. If our workflow already exists, it
 * is the record, unless it failed: anyone could start one with an invalid argument before the command was sent. A foreign
 * workflow with this ID is no record: while it runs, the record has to wait.
 *
 * @throws the same errors as {@link startEntry}
 */
export function recordEntry(starter: Starter, entry: EntryToRecord): Promise<Started> {
  const { commandType, processedAt, result } = entry;
  const completed = { at: processedAt.toISOString(), result };
  const workflow = workflowForRecord(commandType, completed, starter.typedWorkflows);
  return start(starter, entry, workflow, 'ALLOW_DUPLICATE_FAILED_ONLY');
}

/** Rejects if Temporal takes too long: one start that hangs must not block all others. */
export function withinStartLimit<T>(messageId: string, work: () => Promise<T>): Promise<T> {
  return withinLimit(`the start of ${messageId}`, work, { ms: ANSWER_LIMIT_MS });
}

async function start(
  starter: Starter,
  entry: EntryToStart,
  { type, args }: CommandWorkflow,
  workflowIdReusePolicy: OwnWorkflow['options']['workflowIdReusePolicy'],
): Promise<Started> {
  const usable = usableOf(starter.searchAttributes);
  const attributes = attributesOf(entry, usable);
  const startWith = (typedSearchAttributes: TypedSearchAttributes | null) =>
    startUnlessExists(starter, {
      type,
      isType: (found) => isTypeOfCommand(found, entry.commandType),
      options: {
        args,
        workflowIdReusePolicy,
        workflowId: entry.messageId,
        requestEagerStart: starter.eager ?? true,
        ...(typedSearchAttributes && { typedSearchAttributes }),
      },
    });
  const started = await startWith(attributes).catch(async (error: unknown) => {
    if (!attributes || grpcCodeOf(error) !== GRPC.invalidArgument) throw error;
    // An attribute may have been removed since the worker's last check. A command must not wait for its search attributes.
    const without = await startWith(null);
    usable.refused?.(error);
    return without;
  });
  if (started === null) return 'running';
  return started.eager ? 'eager' : 'queued';
}

/** Returns null if there are none to set. */
function attributesOf(
  { commandType, correlationId }: EntryToStart,
  usable: UsableAttributes,
): TypedSearchAttributes | null {
  const pairs: SearchAttributePair[] = [];
  if (usable.has(SEARCH_ATTRIBUTES.commandType)) pairs.push({ key: COMMAND_TYPE, value: commandType });
  if (correlationId && usable.has(SEARCH_ATTRIBUTES.correlationId))
    pairs.push({ key: CORRELATION_ID, value: correlationId });
  return pairs.length === 0 ? null : new TypedSearchAttributes(pairs);
}
