/**
 * Checks that a worker can get work from Temporal.
 *
 * @module
 */
import type { NativeConnection, Worker } from '@temporalio/worker';
import { withinLimit } from './answer-limit.ts';

const LIMIT_MS = 3_000;

/** @throws the client's error if Temporal does not answer, or refuses this client */
export async function askTemporal(connection: NativeConnection): Promise<void> {
  await withinLimit('a probe', () => connection.workflowService.getSystemInfo({}), {
    ms: LIMIT_MS,
    client: connection,
  });
}

/** Says why the worker gets no work; null if it polls for both kinds of tasks. */
export function notPolling(worker: Worker): string | null {
  const { runState, workflowPollerState, activityPollerState } = worker.getStatus();
  if (runState === 'INITIALIZED') return 'the worker is not running yet';
  if (runState !== 'RUNNING') return `the worker is shutting down (${runState.toLowerCase()})`;
  const stopped = [
    ...(workflowPollerState === 'POLLING' ? [] : ['workflow tasks']),
    ...(activityPollerState === 'POLLING' ? [] : ['activities']),
  ];
  return stopped.length === 0 ? null : `the worker no longer polls for ${stopped.join(' and ')}`;
}
