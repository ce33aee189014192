/**
 * Restores a discarded dead letter.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseNote } from './operator-request.ts';
import { messageOf } from '../platform/error-message.ts';
import { InboxError, NotADeadLetterError, RequestRefusedError } from '../core/errors.ts';
import type { OperatorNote } from '../core/protocol.ts';
import { startEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Starter } from '../temporal/start-workflow.ts';
import type { AttributeChoice } from '../temporal/search-attributes.ts';
import { findLastDeadLetter, restoreDeadLetter } from '../store/dead-letters.ts';
import type { EntryToStart } from '../store/dispatch.ts';
import { withinLimit } from '../temporal/answer-limit.ts';
import { describeWorkflow } from '../temporal/workflow-description.ts';
import { ownerOf, refuseIfTaken } from './replay-discard.ts';
import type { ActionAnswer, Operator } from './replay-discard.ts';
import { requireEntry } from './queries.ts';

/** Restoring starts a workflow, which needs to know the search attributes of the namespace. */
export interface RestoringOperator extends Operator {
  /** Those that can be set; true for all, false for none. Setting any other would fail the start. */
  searchAttributes: AttributeChoice;
}

/** The actor when none is given. */
const UNKNOWN_ACTOR = 'operations';

/**
 * Opens a discarded dead letter again, so that it can be replayed or discarded. Its workflow, which had ended, is started
 * again and waits. The audit keeps who discarded it and why.
 *
 * @throws UnknownMessageError; InvalidMessageError; NotADeadLetterError when the message is not a discarded dead letter, or
 *   its payload was pruned; WorkflowIdTakenError when another workflow in the namespace uses the message_id as its ID;
 *   RequestRefusedError for an actor or a reason that cannot be stored; InboxError when the dead letter is open again, but
 *   its workflow is not waiting
 */
export async function restore(
  operator: RestoringOperator,
  messageId: string,
  { actor = UNKNOWN_ACTOR, reason }: OperatorNote = {},
): Promise<ActionAnswer> {
  const entry = await requireEntry(operator.pool, messageId);
  const note = parseNote({ actor: actor || UNKNOWN_ACTOR, reason });
  if ('problem' in note) throw new RequestRefusedError(messageId, note.problem);
  const owner = await ownerOf(operator);
  await refuseIfTaken(owner, entry);
  const resolution = { messageId, ...note, deadLetterId: null };
  if (!(await restoreDeadLetter(operator.pool, resolution))) throw await explainRefusal(operator, messageId);
  const isWaiting = await startWaitingWorkflow({ ...operator, ...owner }, entry).catch((error: unknown) => {
    throw workflowNotWaiting(messageId, `could not be started (${messageOf(error)})`);
  });
  if (!isWaiting)
    throw workflowNotWaiting(
      messageId,
      'from before the discard has not ended yet: no worker has processed the discard',
    );
  return 'done';
}

function workflowNotWaiting(messageId: string, workflow: string): InboxError {
  return new InboxError(
    `message ${JSON.stringify(messageId)} is an open dead letter again, but its workflow ${workflow}; ` +
      'a replay or a discard starts a workflow again',
  );
}

/**
 * Starts the workflow, and returns once it waits for an operator. The discarded workflow may still be running for a moment,
 * because Postgres records a discard before the workflow ends. Returns false if it is still running at the time limit.
 */
async function startWaitingWorkflow(operator: Operator & Starter, entry: EntryToStart): Promise<boolean> {
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const start = () => startEntry({ ...operator, eager: false }, entry);
    if ((await withinStartLimit(entry.messageId, start)) !== 'running') return true;
    if (await isIdle(operator, entry.messageId)) return true;
    if (Date.now() > deadline) return false;
    await sleep(100);
  }
}

/**
 * Returns true if the workflow is running without a workflow task or an activity that could end it. There is no gap between
 * the end of an activity and the workflow task for its result.
 */
async function isIdle({ client }: Operator, messageId: string): Promise<boolean> {
  const describe = () => describeWorkflow(client, messageId);
  const found = await withinLimit(`the description of workflow ${messageId}`, describe, { client });
  return found !== null && found.isRunning && found.taskAttempt === 0 && found.activities.length === 0;
}

async function explainRefusal({ pool }: Operator, messageId: string): Promise<NotADeadLetterError> {
  const { status } = await requireEntry(pool, messageId);
  const letter = await findLastDeadLetter(pool, messageId);
  const what =
    status !== 'DeadLetter'
      ? `is ${status}, not a discarded dead letter`
      : letter?.resolution === 'discarded'
        ? 'was discarded, and its payload has been pruned since, so it cannot run again; send the command with a new message_id'
        : 'is an open dead letter';
  return new NotADeadLetterError(messageId, status, `${what}; nothing was changed`);
}
