/**
 * `inbox worker --supervise`: a worker that is back by itself after whatever a handler does to its process.
 *
 * @module
 */
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { readSettings } from '../../settings.ts';
import { createLog } from '../../platform/log.ts';
import { backoffDelayMs } from '../../core/retry-policy.ts';
import { startWorkerChild } from './worker-child.ts';
import type { WorkerChild, WorkerEnd } from './worker-child.ts';

const BACKOFF = {
  maximumAttempts: Infinity,
  initialIntervalMs: 500,
  backoffCoefficient: 2,
  maximumIntervalMs: 30_000,
};
/**
 * After so long at work its end counts as the first one. Poison comes back at most every few seconds, as Temporal takes
 * 10 to miss a lost attempt, and ends by itself; what the backoff is against is a worker that cannot work at all.
 */
const WORKED_WELL_MS = 5_000;

/**
 * Runs the worker, again and again, until a signal or a mistake that a person has to mend.
 *
 * @param args - of `inbox`, those of a worker without a supervisor
 * @returns the last worker's exit code
 */
export async function superviseWorker(args: readonly string[]): Promise<number> {
  const log = createLog();
  const { watchdogMs } = readSettings();
  const stopping = new AbortController();
  let child: WorkerChild | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    // The second one is for those who do not want to wait, as it is without a supervisor.
    if (stopping.signal.aborted) child?.kill(signal);
    else child?.stop(signal as 'SIGTERM' | 'SIGINT');
    stopping.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  try {
    for (let failures = 1; ; failures += 1) {
      child = startWorkerChild(args, watchdogMs);
      const { pid } = child;
      const end = await child.ended;
      child = null;
      if (stopping.signal.aborted) return exitCode(end);
      if (end.hopeless) {
        log.error('supervisor: the worker cannot start until somebody mends that; not trying again', {
          pid,
          why: end.why,
        });
        return exitCode(end);
      }
      if (end.workedMs >= WORKED_WELL_MS) failures = 1;
      const inMs = backoffDelayMs(BACKOFF, failures);
      log.warn('supervisor: the worker ended unasked and is started again', { pid, why: end.why, inMs });
      await delay(inMs, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return 0;
    }
  } finally {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}

function exitCode({ code, signal }: WorkerEnd): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
