/**
 * Runs one attempt of a command with the code of a real attempt, but without an entry, and rolls it back.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import { aborted, AttemptLimit } from '../attempts/attempt-deadline.ts';
import { inboxFailure } from '../attempts/failure-report.ts';
import { HandlerTransaction, ReportedFailure } from '../attempts/handler-transaction.ts';
import { RefusedStatementError } from '../attempts/nested-transactions.ts';
import { runHandler, runPrepare } from '../attempts/run-handler.ts';
import type { Handled, Prepared } from '../attempts/run-handler.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import type { CommandLog } from '../core/command-log.ts';
import { AttemptFailedError } from '../core/errors.ts';
import { FAILURE } from '../core/protocol.ts';
import type { Entry } from '../store/entries.ts';
import { hasSqlState } from '../platform/error-chain.ts';
import { checkConstraints, isInTransaction } from '../store/test-attempt.ts';
import type { BegunTestAttempt } from '../store/test-attempt.ts';
import { TestSends } from './test-sends.ts';
import type { SentCommand } from './test-sends.ts';
import type { InTransaction } from './test-transaction.ts';

export interface TestAttempt {
  command: RegisteredCommand;
  /** The entry as the handler sees it. It is not stored. */
  entry: Entry;
  inTransaction: InTransaction;
  maxPayloadBytes: number;
  log: CommandLog;
  /** Ends the attempt early. */
  signal: AbortSignal | undefined;
}

/**
 * @throws AttemptFailedError if the inbox makes the attempt fail; the signal's reason if it is aborted; otherwise the error
 *   of `prepare` or of the handler
 */
export async function runTestAttempt(attempt: TestAttempt): Promise<Handled & { sent: SentCommand[] }> {
  const { command, entry, signal, log } = attempt;
  const limit = new AttemptLimit(0, null, new AbortController().signal);
  const abandon = () => limit.abandon(signal?.reason);
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    signal?.throwIfAborted();
    const started = performance.now();
    limit.begin(command.timeoutMs);
    const prepared = await aborted(limit.signal, runPrepare(command, entry, limit.signal, log));
    // The time limit does not run until the transaction begins, because a slow connection is not the command's fault.
    limit.end();
    const spentMs = prepared ? performance.now() - started : 0;
    const timeoutMs = Math.max(1, Math.ceil(command.timeoutMs - spentMs));
    return await attempt.inTransaction({ timeoutMs, signal: limit.signal }, (client, begun) => {
      limit.signal.throwIfAborted();
      limit.begin(timeoutMs);
      const endsAt = performance.now() + timeoutMs;
      const handling = handle(attempt, client, begun, limit.signal, prepared);
      return aborted(limit.signal, preferLimit(handling, endsAt));
    });
  } catch (error) {
    limit.abandon(error);
    throw errorToThrow(error, entry);
  } finally {
    limit.end();
    signal?.removeEventListener('abort', abandon);
  }
}

/** Postgres may end a statement this much earlier than the attempt's limit, although both have the same limit. */
const STATEMENT_TIMEOUT_LEAD_MS = 100;
const QUERY_CANCELED = '57014';

/**
 * Postgres ends a hanging statement at about the moment when the limit ends the attempt. The limit's error says more, so this
 * waits for that error.
 *
 * @param endsAt - when the limit ends the attempt, by `performance.now()`
 */
async function preferLimit<T>(work: Promise<T>, endsAt: number): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const isLimit =
      hasSqlState(error, QUERY_CANCELED) && performance.now() >= endsAt - STATEMENT_TIMEOUT_LEAD_MS;
    if (isLimit) await new Promise(() => {});
    throw error;
  }
}

async function handle(
  { command, entry, maxPayloadBytes, log }: TestAttempt,
  client: PoolClient,
  begun: BegunTestAttempt,
  signal: AbortSignal,
  prepared: Prepared | null,
): Promise<Handled & { sent: SentCommand[] }> {
  const transaction = new HandlerTransaction(client);
  const sends = new TestSends(entry, begun.hasInbox);
  try {
    const limits = { maxPayloadBytes, send: sends.send };
    const handled = await runHandler(command, entry, transaction, signal, log, limits, prepared);
    transaction.close();
    if (!(await isInTransaction(client, begun.xid))) throw transactionEnded();
    await checkConstraints(client);
    return { ...handled, sent: await sends.read(client) };
  } catch (error) {
    throw transaction.explain(error);
  } finally {
    transaction.close();
  }
}

function transactionEnded(): ReportedFailure {
  const problem =
    'the handler ended the transaction on its connection by other means than tx, so its changes may be committed';
  return new ReportedFailure(inboxFailure(FAILURE.transactionEnded, problem, false));
}

/** Failures that the inbox itself finds get a public type; everything else is the handler's own error. */
function errorToThrow(error: unknown, { messageId, commandType }: Entry): unknown {
  if (error instanceof ReportedFailure) {
    const { type, message, retryable } = error.report;
    const cause = error.cause === undefined ? {} : { cause: error.cause };
    return new AttemptFailedError(messageId, commandType, type, message, retryable, cause);
  }
  if (error instanceof RefusedStatementError)
    return new AttemptFailedError(messageId, commandType, error.type, error.message, false, { cause: error });
  return error;
}
