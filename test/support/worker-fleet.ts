/**
 * Worker processes that are restarted when they die, as a supervisor of the operating system would do.
 *
 * @module
 */
import { startWorkerProcess } from './worker-process.ts';
import type { WorkerProcess, WorkerTarget } from './worker-process.ts';

export interface WorkerFleet {
  /** How often a worker ended that was not stopped, including workers that ended during startup. */
  readonly deaths: number;
  /** The workers that are running now. */
  readonly workers: readonly WorkerProcess[];
  stop(): Promise<void>;
}

export async function startFleet(
  target: WorkerTarget,
  module: string,
  size: number,
  env: Record<string, string> = {},
): Promise<WorkerFleet> {
  return keepFleet(size, () => startWorkerProcess(target, module, env));
}

/** Keeps `size` workers running: when the worker of a place has ended, `start` creates the next one for this place. */
export function keepFleet(size: number, start: (place: number) => Promise<WorkerProcess>): WorkerFleet {
  const workers = new Set<WorkerProcess>();
  const stop = new AbortController();
  let deaths = 0;

  async function keepOne(place: number): Promise<void> {
    while (!stop.signal.aborted) {
      const worker = await start(place).catch(() => null);
      if (worker !== null) {
        workers.add(worker);
        if (stop.signal.aborted) worker.kill('SIGKILL');
        await worker.ended;
        workers.delete(worker);
      }
      if (!stop.signal.aborted) deaths += 1;
    }
  }
  const keepers = Array.from({ length: size }, (_, place) => keepOne(place));
  return {
    get deaths() {
      return deaths;
    },
    get workers() {
      return [...workers];
    },
    async stop() {
      stop.abort();
      for (const worker of workers) worker.kill('SIGKILL');
      await Promise.all(keepers);
    },
  };
}
