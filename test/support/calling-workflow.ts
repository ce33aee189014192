/**
 * A workflow of another application that calls the inbox's activities with arbitrary arguments.
 *
 * @module
 */
import { proxyActivities } from '@temporalio/workflow';

/** Calls one activity by name, on the workers of a task queue. */
export async function callActivity(taskQueue: string, name: string, input: unknown): Promise<unknown> {
  const activities = proxyActivities<Record<string, (input: unknown) => Promise<unknown>>>({
    taskQueue,
    scheduleToCloseTimeout: '90s',
  });
  return activities[name]!(input);
}
