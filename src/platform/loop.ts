/**
 * The interface of the loops that run in the background of a worker.
 *
 * @module
 */

/** A loop can run only once: from {@link run} until it has ended after {@link stop}. */
export interface Loop {
  /** Resolves when the loop has ended. Retries everything that can be retried, so it rejects only if the worker must end. */
  run(): Promise<void>;
  /** Ends the loop after its current step. May be called at any time, and more than once. */
  stop(): void;
}
