/**
 * Gives many dead letters up: each through its own workflow, which has to end with it.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DISCARD_SIGNAL } from '../core/protocol.ts';
import type { OperatorNote } from '../core/protocol.ts';
import { WorkflowIdTakenError } from '../core/errors.ts';
import { askCommand } from '../temporal/signal-workflow.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { countResolutions, listOpenDeadLetters } from '../store/dead-letter-preview.ts';
import { ownerOf } from './replay-discard.ts';
import type { Operator } from './replay-discard.ts';

export interface DiscardAllOptions extends OperatorNote {
  /** At the same time. Default 20. */
  concurrency?: number;
  onProgress?: (progress: BulkDiscard) => void;
  /** Ends it after those at hand. */
  signal?: AbortSignal;
}

export interface BulkDiscard {
  total: number;
  discarded: number;
  /** Somebody else has replayed them. */
  skipped: number;
  /** Asked for, and not taken up by a worker when the wait ended. */
  pending: number;
  /** Not asked for, because a foreign workflow has the message_id as its workflow ID. */
  taken: number;
  /** The message_id of one of those. */
  takenExample: string | null;
  /** Not asked for, because nothing was taken up any more, or it was told to end. */
  left: number;
}

/** Those that the filter finds now; what dies later stays. */
export async function discardAll(
  operator: Operator,
  filter: DeadLetterFilter,
  { concurrency = 20, onProgress, signal, ...note }: DiscardAllOptions = {},
): Promise<BulkDiscard> {
  const letters = await listOpenDeadLetters(operator.pool, filter);
  const done: BulkDiscard = {
    total: letters.length,
    discarded: 0,
    skipped: 0,
    pending: 0,
    taken: 0,
    takenExample: null,
    left: letters.length,
  };
  onProgress?.({ ...done });
  const owner = await ownerOf(operator);
  for (let from = 0; from < letters.length; from += concurrency) {
    if (signal?.aborted) break;
    const batch = letters.slice(from, from + concurrency);
    const answers = await Promise.allSettled(
      batch.map(({ id, messageId }) =>
        askCommand(owner, messageId, DISCARD_SIGNAL, { ...note, deadLetterId: id }),
      ),
    );
    for (const answer of answers) {
      if (answer.status === 'fulfilled') continue;
      if (!(answer.reason instanceof WorkflowIdTakenError)) throw answer.reason;
      done.taken += 1;
      done.takenExample ??= answer.reason.workflowId;
    }
    const asked = batch.filter((_, index) => answers[index]!.status === 'fulfilled');
    const { discarded, open } = await resolved(
      operator,
      asked.map(({ id }) => id),
    );
    done.discarded += discarded;
    done.pending += open;
    done.skipped += asked.length - discarded - open;
    done.left -= batch.length;
    onProgress?.({ ...done });
    // Nobody works here: asking for more would only pile them up.
    if (open > 0 && open === asked.length) break;
  }
  return done;
}

/** Until all of them are, or the wait is over. */
async function resolved({ pool, waitMs = 10_000 }: Operator, ids: string[]) {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const found = await countResolutions(pool, ids);
    if (found.open === 0 || Date.now() > deadline) return found;
    await sleep(50);
  }
}
