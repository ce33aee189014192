/**
 * Prevents a worker from running activities of another inbox on the same namespace and task queue.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import type { Origin } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { RateLimitedWarning } from '../src/platform/rare-warning.ts';
import { isUuid } from '../src/core/text.ts';
import { refusedFailure, unavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';

/** Short, because a worker of the right inbox polls the same queue and gets the activity after a few retries. */
const RETRY_DELAY_MS = { from: 100, to: 1_000 };
const INVALID_INBOX_ID =
  'the memo of this workflow names an inbox by something other than its id, so no worker can belong to it; start it without that memo';

/**
 * Throws if the activity belongs to a workflow of another inbox. Temporal retries it until a worker of that inbox gets it;
 * no attempt is counted. An inbox id that cannot exist is refused immediately.
 */
export function createGuard({
  inbox,
  log,
  signaller,
}: Pick<ActivityDependencies, 'inbox' | 'log' | 'signaller'>): (origin: Origin | undefined) => void {
  const warning = new RateLimitedWarning(
    log,
    'this worker received activities of another inbox and left them to its workers',
  );
  return (origin) => {
    const theirs = origin?.inbox;
    if (typeof theirs !== 'string' || theirs === inbox) return;
    if (!isUuid(theirs)) throw refusedFailure(FAILURE.wrongInbox, INVALID_INBOX_ID);
    const { taskQueue } = signaller;
    const remedy = 'give each inbox its own INBOX_TASK_QUEUE';
    const messageId = activityInfo().workflowExecution?.workflowId;
    warning.happened({ messageId, inbox, otherInbox: theirs.slice(0, 100), taskQueue, remedy });
    const { from, to } = RETRY_DELAY_MS;
    throw unavailable(
      FAILURE.wrongInbox,
      `a worker of inbox ${inbox} received an activity of inbox ${theirs.slice(0, 100)}: give each inbox its own INBOX_TASK_QUEUE ` +
        `(both use ${taskQueue}). The activity runs as soon as Temporal offers it to a worker of the right inbox`,
      Math.round(from + (to - from) * Math.random()),
    );
  };
}
