/**
 * The life of a worker: it runs once at most, ends in good order whatever ends it, and releases what it holds also if it
 * never ran.
 *
 * @module
 */
import type { Worker } from '@temporalio/worker';
import type { CommandLog } from '../core/command-log.ts';
import { WorkerEndedError } from '../core/errors.ts';

/** Works beside the Temporal worker until it is stopped. */
export interface WorkerLoop {
  run(): Promise<void>;
  stop(): void;
}

export interface WorkerParts {
  worker: Worker;
  loops: readonly WorkerLoop[];
  /** No more commands are to be taken up. */
  shutdownBegun: () => void;
  /** How long attempts may go on after that, in ms. */
  graceMs: number;
  /** Aborted when they may not. */
  cancelAttempts: AbortController;
  /** Called when it runs; returns what to call at its end. */
  started: () => () => void;
  /** Closes the connections. */
  release: () => Promise<void>;
  log: CommandLog;
}

export class WorkerLife {
  readonly #parts: WorkerParts;
  /** Resolves when everything is released. */
  #end: Promise<void> | null = null;
  #ran = false;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    if (this.#end) {
      const problem = this.#ran ? 'run() was called before' : 'it was shut down before it ran';
      throw new WorkerEndedError(
        `this worker cannot run: ${problem}; create another one with createInboxWorker`,
      );
    }
    this.#ran = true;
    const running = this.#work();
    this.#end = running.catch(() => {});
    await running;
  }

  shutdown(): void {
    const { worker } = this.#parts;
    if (!this.#end) this.#end = this.#discard();
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
      log.error('a part of the worker failed, so the worker ends', { error });
      failures.push(error);
      this.shutdown();
    };
    // Begun here, so that one that throws at once is a failure like any other.
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

  /** A Temporal worker that never ran can only be ended by running it. */
  async #discard(): Promise<void> {
    const { worker, cancelAttempts, release, log } = this.#parts;
    try {
      const running = worker.run();
      worker.shutdown();
      cancelAttempts.abort();
      await running;
    } catch (error) {
      log.warn('a worker that never ran could not be ended in good order', { error });
    } finally {
      await release();
    }
  }
}

/**
 * Takes up no more commands once a shutdown has begun, and ends first attempts when its grace time is over. Nothing tells
 * a local activity that its worker shuts down: it would run on until the forced end, which leaves the entry Processing and
 * Temporal's threads hanging. A shutdown may begin with a signal that only Temporal's Runtime hears of, so the worker's
 * state is looked at.
 */
function watchShutdown(
  worker: Worker,
  begun: () => void,
  graceMs: number,
  shutdown: AbortController,
): NodeJS.Timeout {
  let stoppingSince: number | undefined;
  const look = () => {
    if (['INITIALIZED', 'RUNNING'].includes(worker.getState())) return;
    if (stoppingSince === undefined) begun();
    stoppingSince ??= Date.now();
    if (Date.now() - stoppingSince >= graceMs) shutdown.abort();
  };
  return setInterval(look, 100).unref();
}
