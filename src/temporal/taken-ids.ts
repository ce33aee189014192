/**
 * Reports workflow IDs that foreign workflows use, each of them now and then.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { WorkflowIdTakenError } from '../core/errors.ts';

const AGAIN_AFTER_MS = 10 * 60_000;
/** More are not remembered, and not reported until some are forgotten: the namespace is full of them then. */
const MOST_REMEMBERED = 1_000;

export class TakenIds {
  readonly #log: CommandLog;
  readonly #reportedAt = new Map<string, number>();

  constructor(log: CommandLog) {
    this.#log = log;
  }

  /** Whether the error says that an ID is taken; then it is reported, unless it was within the last 10 minutes. */
  report(error: unknown): error is WorkflowIdTakenError {
    if (!(error instanceof WorkflowIdTakenError)) return false;
    const { workflowId, workflowType, taskQueue, runId, inbox } = error;
    if (!this.#isDue(workflowId)) return true;
    this.#log.error('another workflow uses the workflow ID of a message, which waits until it has ended', {
      messageId: workflowId,
      workflowType,
      taskQueue,
      runId,
      ...(inbox !== null && { otherInbox: inbox }),
      remedy: error.remedy,
    });
    return true;
  }

  #isDue(workflowId: string): boolean {
    const now = performance.now();
    for (const [id, at] of this.#reportedAt) {
      if (now < at + AGAIN_AFTER_MS) break;
      this.#reportedAt.delete(id);
    }
    if (this.#reportedAt.has(workflowId) || this.#reportedAt.size >= MOST_REMEMBERED) return false;
    this.#reportedAt.set(workflowId, now);
    return true;
  }
}
