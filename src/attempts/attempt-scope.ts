/**
 * What a handler started and did not wait for. Errors that nobody handles are found by the asynchronous context in which
 * they arose, so that they fail the attempt they belong to and nothing else.
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

/** The attempt whose handler started what runs now, also after the attempt has ended. */
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

  /** `log`: its lines name the message. */
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
   * @throws what the handler throws; else the first failure that it caught or left behind; else ReportedFailure where it
   *   returned before something that it started had ended
   */
  async run<T>(handle: () => Promise<T> | T): Promise<T> {
    try {
      const result = await Promise.race([scopes.run(this, async () => handle()), this.#failed]);
      const forgotten = [...this.#pending];
      const outcomes = await Promise.race([Promise.allSettled(this.#pending.keys()), this.#failed]);
      // Node reports rejections that nobody handles before its next turn.
      await setImmediate();
      this.throwIfFailed();
      if (forgotten.length > 0) throw forgottenAwait(forgotten, outcomes);
      return result;
    } catch (error) {
      throw this.#decide(error);
    } finally {
      this.close();
    }
  }

  /** From now on nothing that the handler left behind can change the attempt. */
  close(): void {
    this.#open = false;
  }

  /** The attempt must not end well before this has ended. `label` names the call, such as `tx.query`. */
  track(label: string, work: Promise<unknown>): void {
    this.#pending.set(work, label);
    work.finally(() => this.#pending.delete(work)).catch(() => {});
  }

  /** The attempt fails with the error when its handler returns, whether or not the handler catches it. */
  note(error: unknown): void {
    this.#failure ??= { error };
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** An error that nobody handles: the attempt fails at once; one that has ended only has it logged. */
  stray(error: unknown, what: string): void {
    if (this.#open) {
      this.note(new Error(what, { cause: error }));
      this.#reject(this.#failure!.error);
    } else {
      const { type } = reportFailure(error);
      this.#log.error(`${what}, after its attempt had ended`, { errorType: type });
    }
  }

  /** An error that the handler throws may hide the refusal that led to it, which no further attempt can change. */
  #decide(thrown: unknown): unknown {
    if (!this.#failure || this.#failure.error === thrown) return thrown;
    return isFinal(this.#failure.error) && !isFinal(thrown) ? this.#failure.error : thrown;
  }
}

function isFinal(error: unknown): boolean {
  return !(error instanceof ReportedFailure ? error.report : reportFailure(error)).retryable;
}

function forgottenAwait(
  forgotten: readonly [Promise<unknown>, string][],
  outcomes: readonly PromiseSettledResult<unknown>[],
): ReportedFailure {
  const labels = [...new Set(forgotten.map(([, label]) => label))].join(', ');
  const remedy = 'Await every call on tx and every send before the handler returns';
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    const { message } = reportFailure(failed.reason);
    const problem = `${labels} failed after the handler had returned without awaiting it: ${message}. ${remedy}`;
    return new ReportedFailure(inboxFailure(FAILURE.transactionAborted, problem, true));
  }
  const problem = `the handler returned while ${labels} had not ended; everything was rolled back. ${remedy}`;
  return new ReportedFailure(inboxFailure(FAILURE.forgottenAwait, problem, true));
}
