/**
 * The life cycle of a worker: it runs at most once, shuts down cleanly, and releases its resources even if it never ran.
 *
 * @module
 */
import type { Worker } from '@temporalio/worker';
import type { CommandLog } from '../core/command-log.ts';
import { WorkerEndedError } from '../core/errors.ts';
import type { Loop } from '../platform/loop.ts';

export interface WorkerParts {
  worker: Worker;
  /** Run alongside the Temporal worker until they are stopped. */
  loops: readonly Loop[];
  /** Called when a shutdown begins. From then on, no more commands may be claimed. */
  shutdownBegun: () => void;
  /** How long running attempts may continue after that, in ms. */
  graceMs: number;
  /** Aborted when this grace period is over. */
  cancelAttempts: AbortController;
  /** Called when the worker starts to run. Returns the function to call when it ends. */
  started: () => () => void;
  /** Closes the connections. */
  release: () => Promise<void>;
  log: CommandLog;
}

export class WorkerLife {
  readonly #parts: WorkerParts;
  /** Resolves when everything is released. Null until the worker runs or is shut down. */
  #end: Promise<void> | null = null;
  #ran = false;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    if (this.#end) {
      const problem = this.#ran ? 'run() was already called' : 'it was shut down before it ran';
      throw new WorkerEndedError(
        `this worker cannot run: ${problem}; create another worker with createInboxWorker`,
      );
    }
    this.#ran = true;
    const running = this.#work();
    this.#end = running.catch(() => {});
    await running;
  }

  shutdown(): void {
    const { worker } = this.#parts;
    if (!this.#end) this.#end = this.#endUnstarted();
    else if (worker.getState() === 'RUNNING') worker.shutdown();
  }

  async close(): Promise<void> {
    this.shutdown();
    await this.#end;
  }

  async #work(): Promise<void> {
    const { worker, loops, graceMs, cancelAttempts, shutdownBegun, started, release, log } = this.#parts;
    const watching = watchShutdown(worker, shutdownBegun, graceMs, cancelAttempts);
    const stopped = started();
    const failures: unknown[] = [];
    const failed = (error: unknown) => {
      log.error('a part of the worker failed, so the worker shuts down', { error });
      failures.push(error);
      this.shutdown();
    };
    // Called in an async function, so that an error that a loop throws synchronously is handled like any other.
    const ends = loops.map(async (loop) => loop.run()).map((running) => running.catch(failed));
    try {
      await worker.run();
    } finally {
      for (const loop of loops) loop.stop();
      await Promise.all(ends);
      clearInterval(watching);
      stopped();
      await release();
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Ends a worker that never ran. A Temporal worker can only be ended by running it. */
  async #endUnstarted(): Promise<void> {
    const { worker, cancelAttempts, release, log } = this.#parts;
    try {
      const running = worker.run();
      worker.shutdown();
      cancelAttempts.abort();
      await running;
    } catch (error) {
      log.warn('a worker that never ran could not be shut down cleanly', { error });
    } finally {
      await release();
    }
  }
}

/**
 * Reacts to a shutdown: calls `onBegun` when it begins, and aborts the attempts when the grace period is over. Temporal does
 * not notify local activities of a shutdown, so an activity would run until the forced shutdown, which leaves the entry
 * Processing and Temporal's threads hanging. A shutdown may begin with a signal that only Temporal's Runtime
 * receives, so the worker's state is polled.
 */
function watchShutdown(
  worker: Worker,
  onBegun: () => void,
  graceMs: number,
  cancelAttempts: AbortController,
): NodeJS.Timeout {
  let stoppingSince: number | undefined;
  const checkState = () => {
    if (['INITIALIZED', 'RUNNING'].includes(worker.getState())) return;
    if (stoppingSince === undefined) onBegun();
    stoppingSince ??= Date.now();
    if (Date.now() - stoppingSince >= graceMs) cancelAttempts.abort();
  };
  return setInterval(checkState, 100).unref();
}
