/**
 * Opens a discarded dead letter again.
 *
 * @module
 */
import { InboxError, NotADeadLetterError } from '../errors.ts';
import type { OperatorNote } from '../protocol.ts';
import { startEntry } from '../starter.ts';
import type { Starter } from '../starter.ts';
import { findLastDeadLetter, restoreDeadLetter } from '../store/dead-letters.ts';
import type { ActionAnswer, Operator } from './act.ts';
import { existing } from './look.ts';

/** Who acts when nobody says. */
const UNKNOWN_ACTOR = 'operations';

/**
 * As if it had not been discarded: it waits for a person again, and its workflow, which had ended, waits with it. The audit
 * keeps who had discarded it and why.
 *
 * @throws UnknownMessageError, InvalidMessageError; NotADeadLetterError when it is not a discarded one, or its payload was pruned;
 *   InboxError when it is open again but Temporal could not be told
 */
export async function restore(
  operator: Operator & Pick<Starter, 'searchAttributes'>,
  messageId: string,
  { actor = UNKNOWN_ACTOR, reason }: OperatorNote = {},
): Promise<ActionAnswer> {
  const entry = await existing(operator.pool, messageId);
  const resolution = { messageId, actor, reason: reason ?? null, deadLetterId: null };
  if (!(await restoreDeadLetter(operator.pool, resolution))) throw await refusal(operator, messageId);
  try {
    await startEntry({ ...operator, eager: false }, entry);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InboxError(
      `message ${JSON.stringify(messageId)} is an open dead letter again, but its workflow could not be started (${why}); ` +
        'a replay or a discard starts it',
    );
  }
  return 'done';
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
