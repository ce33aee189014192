/**
 * The one transaction of an attempt: row lock, handler, events, Completed, COMMIT.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import type { Transaction } from '../commands/define-command.ts';
import { isTransactionAborted, RolledBackError, sqlState, together } from '../platform/postgres.ts';
import { beginOf } from '../platform/connection-state.ts';
import { messageOfError } from '../platform/error-text.ts';
import type { FailureReport } from './failure-report.ts';
import { inboxFailure } from './failure-report.ts';
import { FAILURE } from '../core/protocol.ts';
import type { LockedAttempt } from '../store/entries.ts';
import { lockAttempt, TRANSACTION_ENDED } from '../store/entries.ts';
import { transactionStatement } from './transaction-control.ts';
import type { TransactionStatement } from './transaction-control.ts';
import { clientFacade } from './client-facade.ts';
import { endsTransactionError, NestedTransactions } from './nested-transactions.ts';
import { answer, isPortal, readQueryCall, refuse } from './query-call.ts';
import type { QueryCall } from './query-call.ts';

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

/** As clients do that make row-level security hold: `select set_config('role', 'tenant', true)`. */
const SET_CONFIG = /\bset_config\b/i;

/**
 * What the handler sees of the connection. It is dead once closed; a rejected query that nobody awaits does not end the
 * process; and the first error is remembered, because a handler that swallows it has lost its transaction. A transaction
 * that is begun through it is a savepoint of the attempt's.
 */
export class HandlerTransaction {
  readonly facade: Transaction;
  readonly #query: (...args: unknown[]) => unknown;
  readonly #nested = new NestedTransactions();
  readonly #pipelined: boolean;
  /** Told of each query, so that a forgotten await is noticed. */
  onQuery: (work: Promise<unknown>) => void = () => {};
  #open = true;
  #callsSetConfig = false;
  #firstError: Error | null = null;
  /** Set once it tried to end the attempt's transaction, whether or not it caught the refusal. */
  #refusal: Error | null = null;

  constructor(client: PoolClient) {
    this.#query = client.query.bind(client);
    this.#pipelined = (client as { pipeline?: boolean }).pipeline === true;
    this.facade = clientFacade((...args) => this.#run(readQueryCall(args)));
  }

  /** Whether a nested transaction was begun and not ended. */
  get hasOpenNested(): boolean {
    return this.#nested.depth > 0;
  }

  /** The handler may have taken another role by a query whose command tag is SELECT. */
  get callsSetConfig(): boolean {
    return this.#callsSetConfig;
  }

  close(): void {
    this.#open = false;
  }

  /** @throws what the handler was refused: it must not end well, even if it caught that. */
  throwIfRefused(): void {
    if (this.#refusal) throw this.#refusal;
  }

  #run(call: QueryCall): unknown {
    if (!this.#open) return refuse(call, new Error('tx was used after its handler had returned'));
    if (call.text !== null && SET_CONFIG.test(call.text)) this.#callsSetConfig = true;
    const statement = call.text === null ? null : transactionStatement(call.text);
    if (call.submittable) return this.#submit(call, statement);
    if (!statement) return answer(call, this.#watch(this.#query(...call.args) as Promise<unknown>));
    try {
      const { text, failed } = this.#nested.replace(statement);
      const result = this.#query(text) as Promise<unknown>;
      result.catch(failed);
      // Two statements have two results.
      const first = result.then((results) => (Array.isArray(results) ? (results[0] as unknown) : results));
      return answer(call, this.#watch(first));
    } catch (error) {
      if (statement.kind !== 'begin') this.#refuse(error as Error);
      return refuse(call, error as Error);
    }
  }

  #submit(call: QueryCall, statement: TransactionStatement | null): unknown {
    if (call.text === null || statement) {
      const what = call.text === null ? 'a query whose text cannot be read' : `${call.text} as an object`;
      return refuse(call, this.#refuse(endsTransactionError(what)));
    }
    if (this.#pipelined && isPortal(call.submittable!)) {
      const problem =
        'tx sends queries without waiting for the answers before, so cursors and streams do not work on it';
      return refuse(call, new Error(`${problem}: read with LIMIT, page by page`));
    }
    return this.#query(...call.args);
  }

  #watch(work: Promise<unknown>): Promise<unknown> {
    work.then(
      // What succeeds shows that the transaction, or its last savepoint, is sound.
      () => (this.#firstError = null),
      (error: Error) => (this.#firstError ??= error),
    );
    this.onQuery(work);
    return work;
  }

  #refuse(error: Error): Error {
    this.#refusal ??= error;
    return error;
  }

  /** What is behind Postgres's words: the statement that really failed, or a handler that ended the transaction. */
  explain(error: unknown): unknown {
    if (this.#refusal) return this.#refusal;
    if (sqlState(error) === TRANSACTION_ENDED) {
      return new ReportedFailure(inboxFailure(FAILURE.transactionEnded, ENDED_BY_HANDLER, false));
    }
    if (!(error instanceof RolledBackError) && !isTransactionAborted(error)) return error;
    if (!this.#firstError || this.#firstError === error) return error;
    return new ReportedFailure(
      inboxFailure(
        FAILURE.transactionAborted,
        `a statement of the handler had failed, and nothing after it could be kept: ${messageOfError(this.#firstError)}`,
        true,
      ),
    );
  }
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
