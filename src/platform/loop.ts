/**
 * The shape of everything that runs in the background of a worker.
 *
 * @module
 */

/** Runs once, from {@link run} until it has ended after {@link stop}. */
export interface Loop {
  /** Resolves when the loop has ended. Retries whatever can be retried, so it rejects only if the worker must end. */
  run(): Promise<void>;
  /** Ends the loop after its current step. May be called at any time, and more than once. */
  stop(): void;
}
