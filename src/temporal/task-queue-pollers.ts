/**
 * Finds the workers that poll a task queue, and those that should not.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import { inboxOfWorker, shortId } from './worker-identity.ts';

/**
 * Temporal lists a poller for five minutes after its last call. A poll lasts up to a minute, so the last call of a healthy
 * worker can be a little more than a minute old. A stopped worker is still listed for this long.
 */
export const POLLED_WITHIN_MS = 90_000;

/** temporal.api.enums.v1.TaskQueueType */
const TASKS = { workflow: 1, activity: 2 } as const;

export interface Pollers {
  /** The identities that recently polled for workflow tasks, and for activities. */
  workflow: string[];
  activity: string[];
  /** Those of both that are workers of another inbox. */
  otherInboxes: string[];
  /** Those of both whose identity names no inbox. */
  strangers: string[];
}

/** @param inbox - the id of our inbox; if null, and all workers serve the same inbox, that one counts as ours */
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
      const recent = (pollers ?? []).filter(
        ({ lastAccessTime }) => Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLED_WITHIN_MS,
      );
      return recent.map(({ identity }) => identity ?? '');
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

/** Describes the pollers that should not be there, and the remedy; null if there are none. */
export function describeIntruders(
  { otherInboxes, strangers }: Pollers,
  taskQueue: string,
): { problem: string; remedy: string } | null {
  const problems: string[] = [];
  const remedies: string[] = [];
  if (otherInboxes.length > 0) {
    problems.push(`workers of another inbox poll task queue ${taskQueue}: ${otherInboxes.join(', ')}`);
    remedies.push(
      'give each inbox its own INBOX_TASK_QUEUE; if one database is a copy of another, give it its own id: update ' +
        'inbox.identity set id = gen_random_uuid()',
    );
  }
  if (strangers.length > 0) {
    problems.push(
      `pollers that are not workers of this inbox: ${strangers.join(', ')} (task queue ${taskQueue})`,
    );
    remedies.push(
      'if they are workers of an older release, upgrade them; otherwise stop them, or give the inbox its own task queue',
    );
  }
  if (problems.length === 0) return null;
  return { problem: problems.join('; '), remedy: remedies.join('; ') };
}
