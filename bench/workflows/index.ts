/**
 * Workflows to compare with: an empty workflow, and the obvious design that does not consider cost.
 *
 * @module
 */
import { proxyActivities, proxySinks, workflowInfo } from '@temporalio/workflow';
import type { Sinks } from '@temporalio/workflow';
import type { Job } from '../system.ts';

export interface BenchSinks extends Sinks {
  /** Notifies the worker's process. This costs no event and no round trip. */
  bench: { over(id: string): void };
}

const { bench } = proxySinks<BenchSinks>();

/** The floor: the minimum cost of a workflow. */
export async function empty(): Promise<void> {
  bench.over(workflowInfo().workflowId);
}

export interface ThreeActivities {
  accept(job: Job): Promise<void>;
  handle(job: Job): Promise<void>;
  complete(id: string): Promise<void>;
}

const { accept, handle, complete } = proxyActivities<ThreeActivities>({ startToCloseTimeout: '10s' });

/** The obvious design: one activity for each step. */
export async function threeActivities(job: Job): Promise<void> {
  await accept(job);
  await handle(job);
  await complete(job.id);
}
