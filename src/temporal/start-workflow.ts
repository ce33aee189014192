/**
 * Starts the workflow of an entry that is in Postgres: by its ID and without its payload, so that none enters Temporal's
 * history.
 *
 * @module
 */
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import type { SearchAttributePair } from '@temporalio/common';
import { SEARCH_ATTRIBUTES, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { CompletedEnvelope } from '../core/protocol.ts';
import { usableOf } from './search-attributes.ts';
import type { AttributeChoice, UsableAttributes } from './search-attributes.ts';
import type { EntryToRecord, EntryToStart } from '../store/dispatch.ts';
import { ANSWER_LIMIT_MS, withinLimit } from '../platform/deadline.ts';
import { GRPC, grpcCodeOf } from './grpc-error.ts';
import { summaryLine } from '../core/markdown.ts';
import { startUnlessThere } from './workflow-owner.ts';
import type { OwnWorkflow, WorkflowOwner } from './workflow-owner.ts';

export interface Starter extends WorkflowOwner {
  /** Which of the inbox's search attributes the namespace has: any other would fail the start. */
  searchAttributes: AttributeChoice;
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

/**
 * @throws WorkflowIdTakenError when a foreign workflow with this ID is running; what the client throws when Temporal cannot
 *   be reached or refuses the start
 */
export function startEntry(starter: Starter, entry: EntryToStart): Promise<Started> {
  // A run that has ended (terminated, cancelled, timed out) is no reason not to go on: the row decides.
  return start(starter, entry, { args: [], workflowIdReusePolicy: 'ALLOW_DUPLICATE' });
}

/**
 * For an entry that is Completed: its workflow ends at once. If our workflow was there before, that is the record; a foreign
 * workflow with this ID is none, and one that is running delays the record until it has ended.
 *
 * @throws as {@link startEntry}
 */
export function recordEntry(starter: Starter, entry: EntryToRecord): Promise<Started> {
  const { commandType, processedAt, result } = entry;
  const envelope: CompletedEnvelope = { commandType, completed: { at: processedAt.toISOString(), result } };
  return start(starter, entry, { args: [envelope], workflowIdReusePolicy: 'REJECT_DUPLICATE' });
}

/** Rejects when Temporal takes too long: one start that hangs must not keep all others waiting. */
export function withinStartLimit<T>(messageId: string, work: () => Promise<T>): Promise<T> {
  return withinLimit(`the start of ${messageId}`, work, { ms: ANSWER_LIMIT_MS });
}

async function start(
  starter: Starter,
  entry: EntryToStart,
  options: Pick<OwnWorkflow['options'], 'args' | 'workflowIdReusePolicy'>,
): Promise<Started> {
  const usable = usableOf(starter.searchAttributes);
  const attributes = attributesOf(entry, usable);
  const startWith = (typedSearchAttributes: TypedSearchAttributes | null) =>
    startUnlessThere(starter, {
      type: WORKFLOW_TYPE,
      options: {
        ...options,
        workflowId: entry.messageId,
        requestEagerStart: starter.eager ?? true,
        staticSummary: summaryLine(entry.commandType),
        ...(typedSearchAttributes && { typedSearchAttributes }),
      },
    });
  const started = await startWith(attributes).catch(async (error: unknown) => {
    if (!attributes || grpcCodeOf(error) !== GRPC.invalidArgument) throw error;
    // Perhaps an attribute was removed after the worker looked. A command must not wait for its search attributes.
    const without = await startWith(null);
    usable.refused?.(error);
    return without;
  });
  if (started === null) return 'running';
  return started.eager ? 'eager' : 'queued';
}

/** Null for none. */
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
