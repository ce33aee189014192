/**
 * Keeps a worker from acting for another inbox that shares its namespace and task queue.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import type { Origin } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { RareWarning } from '../src/platform/rare-warning.ts';
import { isUuid } from '../src/core/text.ts';
import { refusal, unavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';

/** The right worker polls the same queue; it is only a matter of a few tries. */
const TRY_AGAIN_MS = { from: 100, to: 1_000 };
const NO_ID =
  'the memo of this workflow names an inbox, but not by its id, so no worker can belong to it; start it without that memo';

/**
 * Throws for an activity of another inbox's workflow: Temporal gives it to a worker again, until one of that inbox takes it. No
 * attempt is used up. An inbox that cannot exist is refused at once.
 */
export function createGuard({
  inbox,
  log,
  signaller,
}: Pick<ActivityDependencies, 'inbox' | 'log' | 'signaller'>): (origin: Origin | undefined) => void {
  const warning = new RareWarning(
    log,
    'this worker got activities of another inbox, and left them to its workers',
  );
  return (origin) => {
    const theirs = origin?.inbox;
    if (typeof theirs !== 'string' || theirs === inbox) return;
    if (!isUuid(theirs)) throw refusal(FAILURE.wrongInbox, NO_ID);
    const { taskQueue } = signaller;
    const remedy = 'give each inbox its own INBOX_TASK_QUEUE';
    const messageId = activityInfo().workflowExecution?.workflowId;
    warning.happened({ messageId, inbox, otherInbox: theirs.slice(0, 100), taskQueue, remedy });
    const { from, to } = TRY_AGAIN_MS;
    throw unavailable(
      FAILURE.wrongInbox,
      `a worker of inbox ${inbox} got an activity of inbox ${theirs.slice(0, 100)}: give each inbox its own INBOX_TASK_QUEUE ` +
        `(both use ${taskQueue}). A worker of the right inbox takes it as soon as Temporal asks one`,
      Math.round(from + (to - from) * Math.random()),
    );
  };
}
