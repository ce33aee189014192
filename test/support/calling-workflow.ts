/**
 * A workflow of somebody else, who calls our activities with anything.
 *
 * @module
 */
import { proxyActivities } from '@temporalio/workflow';

/** Calls one activity, by its name, of the workers of a task queue. */
export async function callActivity(taskQueue: string, name: string, input: unknown): Promise<unknown> {
  const activities = proxyActivities<Record<string, (input: unknown) => Promise<unknown>>>({
    taskQueue,
    scheduleToCloseTimeout: '90s',
  });
  return activities[name]!(input);
}
