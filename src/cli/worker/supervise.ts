/**
 * `inbox worker --supervise`: restarts the worker after a handler has crashed or blocked its process.
 *
 * @module
 */
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { settingsFromEnv } from '../../settings.ts';
import { createWorkerLog } from './worker-log.ts';
import { doublingDelayMs } from '../../core/retry-policy.ts';
import { startWorkerChild } from './worker-child.ts';
import type { WorkerChild, WorkerEnd } from './worker-child.ts';

const [FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS] = [500, 30_000];
/**
 * A worker that ran for this long resets the backoff, which is meant for workers that cannot run at all. Poison messages
 * don't need it: Temporal takes about 10 s to notice a lost attempt, and the message becomes a dead letter after its last
 * attempt.
 */
const WORKED_WELL_MS = 5_000;

/**
 * Runs the worker and restarts it until a signal arrives, or until it fails in a way that a restart cannot fix.
 *
 * @param args - the arguments of `inbox`, without `--supervise`
 * @returns the exit code of the last worker
 */
export async function superviseWorker(args: readonly string[]): Promise<number> {
  const log = createWorkerLog();
  const { watchdogMs } = settingsFromEnv();
  const stopping = new AbortController();
  let child: WorkerChild | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    // A second signal ends the worker at once, as without a supervisor.
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
        log.error('supervisor: the worker cannot start until its error is fixed; not restarting it', {
          pid,
          why: end.why,
        });
        return exitCode(end);
      }
      if (end.workedMs >= WORKED_WELL_MS) failures = 1;
      const inMs = doublingDelayMs(FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, failures);
      log.warn('supervisor: the worker ended unexpectedly and is restarted', { pid, why: end.why, inMs });
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
