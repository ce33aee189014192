/**
 * Tracks what a handler started without awaiting it. An unhandled error is assigned to an attempt by the asynchronous
 * context in which it arose, so that it fails that attempt and nothing else.
 *
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import type { CommandLog } from '../core/command-log.ts';
import { inboxFailure, reportFailure } from './failure-report.ts';
import { FAILURE } from '../core/protocol.ts';
import { ReportedFailure } from './handler-transaction.ts';

const scopes = new AsyncLocalStorage<AttemptScope>();

/** The scope of the attempt whose handler started the code that runs now, even if the attempt has ended. */
export function currentScope(): AttemptScope | undefined {
  return scopes.getStore();
}

export class AttemptScope {
  readonly messageId: string;
  readonly #log: CommandLog;
  readonly #pending = new Map<Promise<unknown>, string>();
  readonly #failed: Promise<never>;
  #reject!: (error: unknown) => void;
  #failure: { error: unknown } | null = null;
  #open = true;

  /** @param log - must add the message_id to its lines */
  constructor(messageId: string, log: CommandLog) {
    this.messageId = messageId;
    this.#log = log;
    this.#failed = new Promise((_, reject) => (this.#reject = reject));
    this.#failed.catch(() => {});
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Runs the handler.
   *
   * @throws the handler's error; otherwise the first error that it caught or never awaited; otherwise ReportedFailure if the
   *   handler returned before something that it started had finished
   */
  async run<T>(handle: () => Promise<T> | T): Promise<T> {
    try {
      const result = await Promise.race([scopes.run(this, async () => handle()), this.#failed]);
      const forgotten = [...this.#pending];
      const outcomes = await Promise.race([Promise.allSettled(this.#pending.keys()), this.#failed]);
      // Node reports unhandled rejections before the next turn of its event loop.
      await setImmediate();
      this.throwIfFailed();
      if (forgotten.length > 0) throw forgottenAwaitFailure(forgotten, outcomes);
      return result;
    } catch (error) {
      throw this.#errorToThrow(error);
    } finally {
      this.close();
    }
  }

  /** From now on, nothing that the handler left running can change the attempt's outcome. */
  close(): void {
    this.#open = false;
  }

  /** The attempt fails if the handler returns before this work has finished. `label` names the call, such as `tx.query`. */
  track(label: string, work: Promise<unknown>): void {
    this.#pending.set(work, label);
    work.finally(() => this.#pending.delete(work)).catch(() => {});
  }

  /** The attempt fails with this error when its handler returns, even if the handler catches the error. */
  note(error: unknown): void {
    this.#failure ??= { error };
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** Handles an error that nothing caught: fails the attempt at once, or only logs the error if the attempt has ended. */
  reportStray(error: unknown, what: string): void {
    if (this.#open) {
      this.note(new Error(what, { cause: error }));
      this.#reject(this.#failure!.error);
    } else {
      const { type } = reportFailure(error);
      this.#log.error(`${what}, after its attempt ended`, { errorType: type });
    }
  }

  /** The handler may throw a retryable error because of an earlier final one. The final one wins, as retries cannot help. */
  #errorToThrow(thrown: unknown): unknown {
    if (!this.#failure || this.#failure.error === thrown) return thrown;
    return isFinal(this.#failure.error) && !isFinal(thrown) ? this.#failure.error : thrown;
  }
}

function isFinal(error: unknown): boolean {
  return !(error instanceof ReportedFailure ? error.report : reportFailure(error)).retryable;
}

function forgottenAwaitFailure(
  forgotten: readonly [Promise<unknown>, string][],
  outcomes: readonly PromiseSettledResult<unknown>[],
): ReportedFailure {
  const labels = [...new Set(forgotten.map(([, label]) => label))].join(', ');
  const remedy = 'Await every call on tx and every send before the handler returns';
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    const { message } = reportFailure(failed.reason);
    const problem = `${labels} failed after the handler returned without awaiting it: ${message}. ${remedy}`;
    return new ReportedFailure(inboxFailure(FAILURE.transactionAborted, problem, true), {
      cause: failed.reason,
    });
  }
  const problem = `the handler returned before ${labels} finished; everything was rolled back. ${remedy}`;
  return new ReportedFailure(inboxFailure(FAILURE.forgottenAwait, problem, true));
}
