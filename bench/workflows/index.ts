/**
 * Workflows to compare with: the least one workflow costs, and what one would write without thinking of cost.
 *
 * @module
 */
import { proxyActivities, proxySinks, workflowInfo } from '@temporalio/workflow';
import type { Sinks } from '@temporalio/workflow';
import type { Job } from '../system.ts';

export interface BenchSinks extends Sinks {
  /** Costs no event and no round trip: the worker's own process hears of it. */
  bench: { over(id: string): void };
}

const { bench } = proxySinks<BenchSinks>();

/** The floor: no workflow is less. */
export async function empty(): Promise<void> {
  bench.over(workflowInfo().workflowId);
}

export interface ThreeActivities {
  accept(job: Job): Promise<void>;
  handle(job: Job): Promise<void>;
  complete(id: string): Promise<void>;
}

const { accept, handle, complete } = proxyActivities<ThreeActivities>({ startToCloseTimeout: '10s' });

/** The obvious design: each step an activity. */
export async function threeActivities(job: Job): Promise<void> {
  await accept(job);
  await handle(job);
  await complete(job.id);
}
