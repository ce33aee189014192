/**
 * Discards many dead letters. Each discard goes through the message's own workflow, which ends with it.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DISCARD_SIGNAL } from '../core/protocol.ts';
import type { OperatorNote } from '../core/protocol.ts';
import { WorkflowIdTakenError } from '../core/errors.ts';
import { signalCommand } from '../temporal/signal-workflow.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { countResolutions, listOpenDeadLetters } from '../store/dead-letter-preview.ts';
import { ownerOf } from './replay-discard.ts';
import type { Operator } from './replay-discard.ts';

export interface DiscardAllOptions extends OperatorNote {
  /** Discards at the same time. Default 20. */
  concurrency?: number;
  onProgress?: (progress: BulkDiscard) => void;
  /** Stops after the current batch. */
  signal?: AbortSignal;
}

export interface BulkDiscard {
  total: number;
  discarded: number;
  /** Replayed by someone else in the meantime. */
  skipped: number;
  /** Requested, but not processed by a worker before the wait ended. */
  pending: number;
  /** Not requested, because a foreign workflow uses the message_id as its workflow ID. */
  taken: number;
  /** The message_id of one of the `taken` messages. */
  takenExample: string | null;
  /** Not requested, because no worker processed the previous batch, or because `signal` was aborted. */
  left: number;
}

/**
 * Discards the open dead letters that match the filter now. Later ones are not discarded.
 *
 * @throws any error from Postgres; the Temporal client's error if Temporal cannot be reached or refuses a signal
 */
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
      batch.map(({ id, ...command }) =>
        signalCommand(owner, command, DISCARD_SIGNAL, { ...note, deadLetterId: id }),
      ),
    );
    for (const answer of answers) {
      if (answer.status === 'fulfilled') continue;
      if (!(answer.reason instanceof WorkflowIdTakenError)) throw answer.reason;
      done.taken += 1;
      done.takenExample ??= answer.reason.workflowId;
    }
    const requested = batch.filter((_, index) => answers[index]!.status === 'fulfilled');
    const { discarded, open } = await waitUntilResolved(
      operator,
      requested.map(({ id }) => id),
    );
    done.discarded += discarded;
    done.pending += open;
    done.skipped += requested.length - discarded - open;
    done.left -= batch.length;
    onProgress?.({ ...done });
    // No worker processed this batch. More requests would only pile up.
    if (open > 0 && open === requested.length) break;
  }
  return done;
}

/** Waits until all of them are resolved, or until the time limit. */
async function waitUntilResolved({ pool, waitMs = 10_000 }: Operator, ids: string[]) {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const found = await countResolutions(pool, ids);
    if (found.open === 0 || Date.now() > deadline) return found;
    await sleep(50);
  }
}
