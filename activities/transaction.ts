/**
 * The one transaction of an attempt: row lock, handler, events, Completed, COMMIT.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import type { Transaction } from '../src/command.ts';
import { isTransactionAborted, RolledBackError, sqlState, together } from '../src/database.ts';
import { beginOf } from '../src/connection-state.ts';
import type { FailureReport } from '../src/failure.ts';
import { inboxFailure } from '../src/failure.ts';
import { FAILURE } from '../src/protocol.ts';
import type { LockedAttempt } from '../src/store/entries.ts';
import { lockAttempt, TRANSACTION_ENDED } from '../src/store/entries.ts';

/** A failure that the inbox found itself, on its way to being recorded. */
export class ReportedFailure extends Error {
  override readonly name = 'ReportedFailure';

  constructor(readonly report: FailureReport) {
    super(report.message);
  }
}

const ENDED_BY_HANDLER =
  'the handler ended the transaction itself (COMMIT or ROLLBACK through tx); what it committed stays, and a person must look';

/** Another attempt has begun since, or the row is settled: this one must leave no trace. */
export class StaleAttemptError extends Error {
  override readonly name = 'StaleAttemptError';
}

/**
 * What the handler sees of the connection. It is dead once closed; a rejected query that nobody awaits does not end
 * the process; and the first error is remembered, because a handler that swallows it has lost its transaction.
 */
export class HandlerTransaction {
  readonly facade: Transaction;
  #open = true;
  #firstError: Error | null = null;

  constructor(client: PoolClient) {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    this.facade = {
      query: ((...args: unknown[]) => {
        if (!this.#open) return refused('tx was used after its handler had returned');
        const answer = query(...args);
        if (answer instanceof Promise) answer.catch((error: Error) => (this.#firstError ??= error));
        return answer;
      }) as Transaction['query'],
    };
  }

  close(): void {
    this.#open = false;
  }

  /** What is behind Postgres's words: the statement that really failed, or a handler that ended the transaction. */
  explain(error: unknown): unknown {
    if (sqlState(error) === TRANSACTION_ENDED) {
      return new ReportedFailure(inboxFailure(FAILURE.transactionEnded, ENDED_BY_HANDLER, false));
    }
    if (!(error instanceof RolledBackError) && !isTransactionAborted(error)) return error;
    if (!this.#firstError || this.#firstError === error) return error;
    return new ReportedFailure(
      inboxFailure(
        FAILURE.transactionAborted,
        `a statement of the handler had failed, and nothing after it could be kept: ${this.#firstError.message}`,
        true,
      ),
    );
  }
}

/** One that nobody awaits must not end the process either. */
export function refused(problem: string): Promise<never> {
  const answer = Promise.reject(new Error(problem));
  answer.catch(() => {});
  return answer;
}

/**
 * Opens the transaction and locks the row, in one round trip.
 *
 * @throws StaleAttemptError
 */
export async function beginAttempt(
  client: PoolClient,
  messageId: string,
  attempt: number,
  timeoutMs: number,
): Promise<LockedAttempt> {
  const [, locked] = await together(client, () =>
    Promise.all([client.query(beginOf(client)), lockAttempt(client, messageId, attempt, timeoutMs)]),
  );
  if (!locked) throw new StaleAttemptError(`attempt ${attempt} of ${messageId} is no longer the current one`);
  return locked;
}
