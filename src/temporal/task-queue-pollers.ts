/**
 * Who polls a task queue, and which of them should not.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import { inboxOfWorker, shortId } from './worker-identity.ts';

/**
 * Temporal shows a poller for five minutes after its last call, and a poll lasts a minute: a healthy one may have called a
 * little more than that ago. A worker that was stopped is still shown for this long.
 */
export const POLLED_WITHIN_MS = 90_000;

/** temporal.api.enums.v1.TaskQueueType */
const TASKS = { workflow: 1, activity: 2 } as const;

export interface Pollers {
  /** Identities of what polled for workflow tasks lately, and for activities. */
  workflow: string[];
  activity: string[];
  /** Of both: workers of another inbox. */
  otherInboxes: string[];
  /** Of both: what does not call itself a worker of any inbox. */
  strangers: string[];
}

/** `inbox`: the id of our inbox; null when it is not known, then no inbox is another one as long as there is only one. */
export async function findPollers(
  { workflowService }: Pick<Connection, 'workflowService'>,
  namespace: string,
  taskQueue: string,
  inbox: string | null,
): Promise<Pollers> {
  const [workflow, activity] = await Promise.all(
    [TASKS.workflow, TASKS.activity].map(async (taskQueueType) => {
      const request = { namespace, taskQueue: { name: taskQueue }, taskQueueType };
      const { pollers } = await workflowService.describeTaskQueue(request);
      const lately = (pollers ?? []).filter(
        ({ lastAccessTime }) => Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLED_WITHIN_MS,
      );
      return lately.map(({ identity }) => identity ?? '');
    }),
  );
  return judgePollers(new Set(workflow), new Set(activity), inbox);
}

/** Pure part of {@link findPollers}. */
export function judgePollers(
  workflow: ReadonlySet<string>,
  activity: ReadonlySet<string>,
  inbox: string | null,
): Pollers {
  const all = [...new Set([...workflow, ...activity])];
  const inboxes = new Set(all.map(inboxOfWorker).filter((id) => id !== null));
  const own = inbox !== null ? shortId(inbox) : inboxes.size === 1 ? [...inboxes][0]! : null;
  return {
    workflow: [...workflow],
    activity: [...activity],
    otherInboxes: all.filter((identity) => {
      const served = inboxOfWorker(identity);
      return served !== null && served !== own;
    }),
    strangers: all.filter((identity) => inboxOfWorker(identity) === null),
  };
}

/** What is wrong with the pollers of a task queue, and what to do; null for nothing. */
export function describeIntruders(
  { otherInboxes, strangers }: Pollers,
  taskQueue: string,
): { problem: string; remedy: string } | null {
  const problems: string[] = [];
  const remedies: string[] = [];
  if (otherInboxes.length > 0) {
    problems.push(`workers of another inbox poll task queue ${taskQueue}: ${otherInboxes.join(', ')}`);
    remedies.push(
      'give each inbox its own INBOX_TASK_QUEUE; if one database is a copy of another, give it an id of its own: update ' +
        'inbox.identity set id = gen_random_uuid()',
    );
  }
  if (strangers.length > 0) {
    problems.push(
      `pollers that are no workers of this inbox: ${strangers.join(', ')} (task queue ${taskQueue})`,
    );
    remedies.push(
      'upgrade them if they are workers of an older release; otherwise stop them, or give the inbox a task queue of its own',
    );
  }
  if (problems.length === 0) return null;
  return { problem: problems.join('; '), remedy: remedies.join('; ') };
}
