/**
 * What ends an attempt before it is done: its timeout, a cancelled workflow, a worker that shuts down.
 *
 * @module
 */
import type { Context } from '@temporalio/activity';
import { inboxFailure } from './failure-report.ts';
import { FAILURE } from '../core/protocol.ts';
import { ReportedFailure } from './handler-transaction.ts';

/** The attempt was ended by no fault of its command: it uses up no try. */
export class AttemptInterruptedError extends Error {
  override readonly name = 'AttemptInterruptedError';
}

export class AttemptLimit {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  readonly #context: Context | null;
  readonly #shutdown: AbortSignal;
  cancelRequested = false;

  /**
   * @param timeoutMs - of the attempt, which begins now; 0 for none yet
   * @param context - null for an attempt that Temporal knows nothing of
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

  /** It has to have begun within this time: until then it waits for Postgres. */
  beginWithin(limitMs: number): void {
    const message = `Postgres did not let the attempt begin within ${limitMs} ms`;
    this.#start(limitMs, () => new AttemptInterruptedError(message));
  }

  /** It has begun: from now on its own time runs. */
  begin(timeoutMs: number): void {
    const message = `the attempt took longer than its timeout of ${timeoutMs} ms; its transaction was rolled back`;
    this.#start(timeoutMs, () => new ReportedFailure(inboxFailure(FAILURE.timeout, message, true)));
  }

  /** The attempt is over, its handler perhaps not: one that was overtaken would never learn of it. */
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
    const message = 'the worker shut down before the attempt was done; its transaction was rolled back';
    this.#controller.abort(new AttemptInterruptedError(message));
  };

  /**
   * Temporal also cancels what it has given up on or paused. Those attempts go on: they may still commit, and the
   * fence keeps them apart from a successor.
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

/** The work's outcome, or the signal's reason if that comes first; the work is then left to end by itself. */
export function aborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
