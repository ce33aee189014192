/**
 * Ends an attempt early: at its timeout, when its workflow is canceled, or when the worker shuts down.
 *
 * @module
 */
import type { Context } from '@temporalio/activity';
import { inboxFailure } from './failure-report.ts';
import { FAILURE } from '../core/protocol.ts';
import { ReportedFailure } from './handler-transaction.ts';

/** The attempt ended through no fault of its command, and does not count as a failed attempt. */
export class AttemptInterruptedError extends Error {
  override readonly name = 'AttemptInterruptedError';
}

/** The abort signal of one attempt, with the timer and the events that abort it. */
export class AttemptLimit {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  readonly #context: Context | null;
  readonly #shutdown: AbortSignal;
  cancelRequested = false;

  /**
   * @param timeoutMs - the timeout of the attempt, which starts now; 0 if it has not started yet
   * @param context - of the activity; null for an attempt that runs outside of activities
   */
  constructor(timeoutMs: number, context: Context | null, shutdown: AbortSignal) {
    this.#context = context;
    this.#shutdown = shutdown;
    if (timeoutMs > 0) this.begin(timeoutMs);
    context?.cancellationSignal.addEventListener('abort', this.#onCancellation);
    if (context?.cancellationSignal.aborted) this.#onCancellation();
    shutdown.addEventListener('abort', this.#onShutdown);
    if (shutdown.aborted) this.#onShutdown();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** No timeout runs until the next call of `begin` or `beginWithin`. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Limits how long the attempt waits for Postgres before it starts. */
  beginWithin(limitMs: number): void {
    const message = `the attempt did not start: Postgres did not lock its entry within ${limitMs} ms`;
    this.#start(limitMs, () => new AttemptInterruptedError(message));
  }

  /**
   * The attempt has started; its timeout runs from now on.
   *
   * @param leftMs - what is left of the timeout, if a part of it was used before
   */
  begin(timeoutMs: number, leftMs = timeoutMs): void {
    const message = `the attempt took longer than its timeout of ${timeoutMs} ms; its transaction was rolled back`;
    this.#start(leftMs, () => new ReportedFailure(inboxFailure(FAILURE.timeout, message, true)));
  }

  /**
   * Aborts the signal of an attempt that is over, because its handler may still be running and has no other way to notice.
   */
  abandon(reason: unknown): void {
    this.#controller.abort(reason);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#context?.cancellationSignal.removeEventListener('abort', this.#onCancellation);
    this.#shutdown.removeEventListener('abort', this.#onShutdown);
  }

  #start(limitMs: number, reason: () => Error): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(reason()), limitMs);
  }

  readonly #onShutdown = (): void => {
    const message = 'the worker shut down before the attempt finished; its transaction was rolled back';
    this.#controller.abort(new AttemptInterruptedError(message));
  };

  /**
   * Temporal also cancels activities that it has timed out or paused. Their attempts keep running: they may still commit,
   * and the fence keeps them apart from a successor.
   */
  readonly #onCancellation = (): void => {
    const details = this.#context?.cancellationDetails;
    if (details?.workerShutdown) {
      this.#onShutdown();
    } else if (details?.cancelRequested) {
      this.cancelRequested = true;
      this.#controller.abort(this.#context!.cancellationSignal.reason);
    }
  };
}

/**
 * Settles like `work`, or rejects with the signal's reason if the signal is aborted first. Does not stop the work itself.
 */
export function aborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
