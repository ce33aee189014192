/**
 * Runs one attempt of a dry run, from BEGIN to ROLLBACK.
 *
 * @module
 */
import type { Pool, PoolClient } from 'pg';
import { runHandler, runPrepare } from '../attempts/run-handler.ts';
import type { Handled, Prepared } from '../attempts/run-handler.ts';
import { reportOf } from '../attempts/run-attempt.ts';
import { aborted, AttemptLimit } from '../attempts/attempt-deadline.ts';
import { HandlerTransaction, ReportedFailure } from '../attempts/handler-transaction.ts';
import type { CommandLog } from '../core/command-log.ts';
import { failureGroup, inboxFailure } from '../attempts/failure-report.ts';
import type { FailureReport } from '../attempts/failure-report.ts';
import type { Json } from '../core/json.ts';
import { FAILURE } from '../core/protocol.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import { isExhausted } from '../core/retry-policy.ts';
import type { Message } from '../commands/message.ts';
import { terminateBackend } from '../store/sessions.ts';
import { beginDryRun, checkDeferredConstraints, endDryRun, isInDryRun } from '../store/dry-run.ts';
import type { Entry, StoredEvent } from '../store/entries.ts';

export interface DryRunAttempt {
  command: RegisteredCommand;
  /** The entry as a replay would see it. */
  entry: Entry;
  /** Runs the attempt. Its connections are read-only outside the dry run's transaction. */
  attempts: Pool;
  /** A separate connection, to terminate the one that runs the attempt. */
  control: Pool;
  maxPayloadBytes: number;
  log: CommandLog;
}

export type DryRunOutcome =
  | { outcome: 'completes'; result: Json; events: StoredEvent[]; sends: Message[] }
  | { outcome: 'fails'; failure: DryRunFailure };

export interface DryRunFailure {
  type: string;
  message: string;
  /** True if the failure would be retried automatically. If not, the message immediately becomes a dead letter again. */
  retryable: boolean;
  failureGroup: string;
}

/** Runs the handler once. Afterwards, none of its changes remain and none of its locks is held. */
export async function runDryRunAttempt(attempt: DryRunAttempt): Promise<DryRunOutcome> {
  const { command, entry, attempts, control, log } = attempt;
  const limit = new AttemptLimit(command.timeoutMs, null, new AbortController().signal);
  let prepared: Prepared | null;
  try {
    prepared = await aborted(limit.signal, runPrepare(command, entry, limit.signal, log));
  } catch (error) {
    limit.end();
    limit.abandon(error);
    return { outcome: 'fails', failure: failureOf(command, reportOf(error)) };
  }
  const client = await attempts.connect().catch((error: unknown) => {
    limit.end();
    throw error;
  });
  const run: { backend: number | null } = { backend: null };
  const sends: Message[] = [];
  let broken: Error | boolean = true;
  try {
    const handled = await aborted(limit.signal, handle(attempt, client, limit.signal, run, sends, prepared));
    return { outcome: 'completes', ...handled, sends };
  } catch (error) {
    return { outcome: 'fails', failure: failureOf(command, reportOf(error)) };
  } finally {
    limit.end();
    if (!limit.signal.aborted) {
      broken = await endDryRun(client).then(
        () => false,
        (reason: Error) => reason,
      );
    } else if (run.backend !== null) {
      // A statement of the hanging handler may still be running, and live commands would wait for its locks.
      await terminateBackend(control, run.backend).catch(() => {});
    }
    client.release(broken);
  }
}

async function handle(
  { command, entry, maxPayloadBytes, log }: DryRunAttempt,
  client: PoolClient,
  signal: AbortSignal,
  run: { backend: number | null },
  sends: Message[],
  prepared: Prepared | null,
): Promise<Handled> {
  const { messageId } = entry;
  run.backend = await beginDryRun(client, messageId, command.timeoutMs);
  const transaction = new HandlerTransaction(client);
  try {
    const limits = { maxPayloadBytes, onSend: (message: Message) => void sends.push(message) };
    const handled = await runHandler(command, entry, transaction, signal, log, limits, prepared);
    transaction.close();
    if (await hasEnded(client, messageId)) throw ended();
    await checkDeferredConstraints(client);
    return handled;
  } catch (error) {
    transaction.close();
    if (await hasEnded(client, messageId)) throw ended();
    throw transaction.explain(error);
  }
}

/** True if the handler ended the transaction despite {@link HandlerTransaction}. If the query fails, it has not ended. */
async function hasEnded(client: PoolClient, messageId: string): Promise<boolean> {
  return isInDryRun(client, messageId).then(
    (isInTransaction) => !isInTransaction,
    () => false,
  );
}

function ended(): ReportedFailure {
  const problem =
    'the handler ended the transaction itself (COMMIT or ROLLBACK through tx); nothing was kept';
  return new ReportedFailure(inboxFailure(FAILURE.transactionEnded, problem, false));
}

function failureOf({ type: commandType, retry }: RegisteredCommand, report: FailureReport): DryRunFailure {
  const { type, message } = report;
  const retryable = report.retryable && !isExhausted(retry, 1);
  return { type, message, retryable, failureGroup: failureGroup(commandType, report) };
}
