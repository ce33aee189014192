/**
 * The transaction of an attempt, as its handler sees it through `tx`.
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
import type { TraceDetails } from '../telemetry/traced-query.ts';
import { tracedQuery } from '../telemetry/traced-query.ts';
import { clientFacade } from './client-facade.ts';
import { endsTransactionError, NestedTransactions } from './nested-transactions.ts';
import { isPortal, readQueryCall, rejectCall, respond } from './query-call.ts';
import type { QueryCall } from './query-call.ts';

/** A failure that the inbox itself detected, with the report to record. */
export class ReportedFailure extends Error {
  override readonly name = 'ReportedFailure';

  constructor(
    readonly report: FailureReport,
    options: { cause?: unknown } = {},
  ) {
    super(report.message, options);
  }
}

const ENDED_BY_HANDLER =
  'the handler ended the transaction itself (COMMIT or ROLLBACK through tx), so its changes may already be committed: ' +
  'check them before you replay or discard the command';

/** Another attempt has started since, or the entry is settled: this attempt must not change anything. */
export class StaleAttemptError extends Error {
  override readonly name = 'StaleAttemptError';
}

/** Clients that rely on row-level security often run `select set_config('role', 'tenant', true)`. */
const SET_CONFIG = /\bset_config\b/i;

/**
 * The handler's view of the connection. Once closed, it rejects every query. A rejected query that is not awaited does not
 * end the process. The first error is kept, because a handler that swallows it has still lost its transaction. BEGIN creates
 * a savepoint in the attempt's transaction.
 */
export class HandlerTransaction {
  readonly facade: Transaction;
  readonly #query: (...args: unknown[]) => unknown;
  readonly #nested = new NestedTransactions();
  readonly #pipelined: boolean;
  readonly #trace: TraceDetails | undefined;
  /** Called with each query, to detect a forgotten await. */
  onQuery: (work: Promise<unknown>) => void = () => {};
  #open = true;
  #callsSetConfig = false;
  #firstError: Error | null = null;
  /** Set once the handler tried to end the attempt's transaction, even if it caught the resulting error. */
  #refusal: Error | null = null;

  /** @param trace - what the spans of statements may contain; by default, there are none */
  constructor(client: PoolClient, trace?: TraceDetails) {
    this.#query = client.query.bind(client);
    this.#trace = trace;
    this.#pipelined = (client as { pipeline?: boolean }).pipeline === true;
    this.facade = clientFacade((...args) => this.#run(readQueryCall(args)));
  }

  /** True if a nested transaction is still open. */
  get hasOpenNested(): boolean {
    return this.#nested.depth > 0;
  }

  /** True if the handler may have changed its role with a query whose command tag is SELECT. */
  get callsSetConfig(): boolean {
    return this.#callsSetConfig;
  }

  close(): void {
    this.#open = false;
  }

  /** @throws the error of a refused statement: the attempt must fail even if the handler caught that error. */
  throwIfRefused(): void {
    if (this.#refusal) throw this.#refusal;
  }

  #run(call: QueryCall): unknown {
    if (!this.#open) return rejectCall(call, new Error('tx was used after its handler returned'));
    if (call.text !== null && SET_CONFIG.test(call.text)) this.#callsSetConfig = true;
    const statement = call.text === null ? null : transactionStatement(call.text);
    if (call.submittable) return this.#submit(call, statement);
    if (!statement) {
      const work = tracedQuery(call.text, this.#trace, () => this.#query(...call.args) as Promise<unknown>);
      return respond(call, this.#watch(work));
    }
    try {
      const { text, failed } = this.#nested.replace(statement);
      const result = this.#query(text) as Promise<unknown>;
      result.catch(failed);
      // A text with two statements has two results.
      const first = result.then((results) => (Array.isArray(results) ? (results[0] as unknown) : results));
      return respond(call, this.#watch(first));
    } catch (error) {
      if (statement.kind !== 'begin') this.#refuse(error as Error);
      return rejectCall(call, error as Error);
    }
  }

  #submit(call: QueryCall, statement: TransactionStatement | null): unknown {
    if (call.text === null || statement) {
      const what =
        call.text === null ? 'a query object whose text cannot be read' : `${call.text} as a query object`;
      return rejectCall(call, this.#refuse(endsTransactionError(what)));
    }
    if (this.#pipelined && isPortal(call.submittable!)) {
      const problem = 'tx pipelines its queries, so cursors and streams do not work on it';
      return rejectCall(call, new Error(`${problem}: read with LIMIT, page by page`));
    }
    return this.#query(...call.args);
  }

  #watch(work: Promise<unknown>): Promise<unknown> {
    work.then(
      // A success shows that the transaction, or its last savepoint, is intact.
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

  /** Replaces a follow-up error of Postgres with its cause: the statement that failed first, or an ended transaction. */
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
        `an earlier statement of the handler failed, so everything was rolled back: ${messageOfError(this.#firstError)}`,
        true,
      ),
      { cause: this.#firstError },
    );
  }
}

/**
 * Begins the transaction and locks the entry's row, in one round trip.
 *
 * @param timeoutMs - the attempt's timeout, which limits every statement of the transaction
 * @throws StaleAttemptError if this is no longer the current attempt
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
  if (!locked)
    throw new StaleAttemptError(`attempt ${attempt} of ${messageId} is no longer the current attempt`);
  return locked;
}
