/**
 * Logs workflow IDs of messages that foreign workflows use, each at most once in 10 minutes.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { WorkflowIdTakenError } from '../core/errors.ts';

const LOG_INTERVAL_MS = 10 * 60_000;
/** Limits memory. Further IDs are not logged until older ones expire. */
const MAX_REMEMBERED = 1_000;

export class TakenIds {
  readonly #log: CommandLog;
  readonly #loggedAt = new Map<string, number>();

  constructor(log: CommandLog) {
    this.#log = log;
  }

  /** Returns whether the error says that an ID is taken. If so, logs it unless it was logged in the last 10 minutes. */
  report(error: unknown): error is WorkflowIdTakenError {
    if (!(error instanceof WorkflowIdTakenError)) return false;
    const { workflowId, workflowType, taskQueue, runId, inbox } = error;
    if (!this.#isDue(workflowId)) return true;
    this.#log.error(
      'another workflow uses the workflow ID of a message; the message waits until that workflow closes',
      {
        messageId: workflowId,
        workflowType,
        taskQueue,
        runId,
        ...(inbox !== null && { otherInbox: inbox }),
        remedy: error.remedy,
      },
    );
    return true;
  }

  #isDue(workflowId: string): boolean {
    const now = performance.now();
    for (const [id, at] of this.#loggedAt) {
      if (now < at + LOG_INTERVAL_MS) break;
      this.#loggedAt.delete(id);
    }
    if (this.#loggedAt.has(workflowId) || this.#loggedAt.size >= MAX_REMEMBERED) return false;
    this.#loggedAt.set(workflowId, now);
    return true;
  }
}
