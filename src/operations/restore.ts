/**
 * Opens a discarded dead letter again.
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
import { findLastDeadLetter, restoreDeadLetter } from '../store/dead-letters.ts';
import type { EntryToStart } from '../store/dispatch.ts';
import { withinLimit } from '../platform/deadline.ts';
import { describeWorkflow } from '../temporal/workflow-description.ts';
import { ownerOf, refuseTaken } from './replay-discard.ts';
import type { ActionAnswer, Operator } from './replay-discard.ts';
import { existing } from './queries.ts';

/** Who acts when nobody says. */
const UNKNOWN_ACTOR = 'operations';

/**
 * As if it had not been discarded: it waits for a person again, and its workflow, which had ended, waits with it. The audit
 * keeps who had discarded it and why.
 *
 * @throws UnknownMessageError, InvalidMessageError; NotADeadLetterError when it is not a discarded one, or its payload was pruned;
 *   WorkflowIdTakenError when another workflow of the namespace has the message_id as its ID; RequestRefusedError for an actor or a reason that cannot be stored; InboxError when it is open again, but no workflow waits with it
 */
export async function restore(
  operator: Operator & Pick<Starter, 'searchAttributes'>,
  messageId: string,
  { actor = UNKNOWN_ACTOR, reason }: OperatorNote = {},
): Promise<ActionAnswer> {
  const entry = await existing(operator.pool, messageId);
  const note = parseNote({ actor: actor || UNKNOWN_ACTOR, reason });
  if ('problem' in note) throw new RequestRefusedError(messageId, note.problem);
  const owner = await ownerOf(operator);
  await refuseTaken(owner, messageId);
  const resolution = { messageId, ...note, deadLetterId: null };
  if (!(await restoreDeadLetter(operator.pool, resolution))) throw await refusal(operator, messageId);
  const waits = await untilItWaits({ ...operator, ...owner }, entry).catch((error: unknown) => {
    throw openAgain(messageId, `could not be started (${messageOf(error)})`);
  });
  if (!waits)
    throw openAgain(messageId, 'that ends with the discard has not ended yet: no worker has taken it up');
  return 'done';
}

function openAgain(messageId: string, workflow: string): InboxError {
  return new InboxError(
    `message ${JSON.stringify(messageId)} is an open dead letter again, but its workflow ${workflow}; ` +
      'a replay or a discard starts it',
  );
}

/**
 * Starts its workflow. The one that was discarded may only be about to end, and then there is none: Postgres hears of a discard
 * before Temporal does. False when the wait is over.
 */
async function untilItWaits(operator: Operator & Starter, entry: EntryToStart): Promise<boolean> {
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const start = () => startEntry({ ...operator, eager: false }, entry);
    if ((await withinStartLimit(entry.messageId, start)) !== 'running') return true;
    if (await isIdle(operator, entry.messageId)) return true;
    if (Date.now() > deadline) return false;
    await sleep(100);
  }
}

/** Running, and with nothing under way that could end it: an activity and the task that hears of it follow without a gap. */
async function isIdle({ client }: Operator, messageId: string): Promise<boolean> {
  const look = () => describeWorkflow(client, messageId);
  const found = await withinLimit(`what workflow ${messageId} does`, look, { client });
  return found !== null && found.isRunning && found.taskAttempt === 0 && found.activities.length === 0;
}

async function refusal({ pool }: Operator, messageId: string): Promise<NotADeadLetterError> {
  const { status } = await existing(pool, messageId);
  const letter = await findLastDeadLetter(pool, messageId);
  const what =
    status !== 'DeadLetter'
      ? `is ${status}, not a discarded dead letter`
      : letter?.resolution === 'discarded'
        ? 'was discarded, and its payload has been pruned since: it cannot run again. Send the command anew'
        : 'is an open dead letter';
  return new NotADeadLetterError(messageId, status, `${what}; nothing was changed`);
}
