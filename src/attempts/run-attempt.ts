/**
 * Runs a claimed attempt in one transaction, from BEGIN to COMMIT or rollback. Works with or without a Temporal activity,
 * because the worker itself runs the first attempt of an express command.
 *
 * @module
 */
import type { Context } from '@temporalio/activity';
import type { PoolClient } from 'pg';
import { crashPoint } from '../platform/crash-points.ts';
import { cut } from '../platform/connection.ts';
import { poolerSettingsOf } from '../platform/connection-state.ts';
import { acquire, commit, together } from '../platform/postgres.ts';
import { messageOf } from '../platform/error-message.ts';
import type { CommandLog } from '../core/command-log.ts';
import { inboxFailure, reportFailure } from './failure-report.ts';
import type { FailureReport } from './failure-report.ts';
import type { Json } from '../core/json.ts';
import { withFields } from '../platform/log.ts';
import { forgetPrepared } from '../platform/prepared-statements.ts';
import { FAILURE } from '../core/protocol.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import { tracedPhase } from '../telemetry/traced-attempt.ts';
import { terminateTransaction } from '../store/sessions.ts';
import { completeEntry, MAX_INTERRUPTIONS } from '../store/entries.ts';
import { releaseSessionLocks, resetSession, resumeOwnRole } from '../store/session-reset.ts';
import type { Entry, LockedAttempt, RecordMark } from '../store/entries.ts';
import { ConnectionWatch } from './connection-watch.ts';
import type { AttemptDependencies } from './dependencies.ts';
import { runHandler, runPrepare } from './run-handler.ts';
import type { Prepared } from './run-handler.ts';
import { aborted, AttemptInterruptedError, AttemptLimit } from './attempt-deadline.ts';
import {
  beginAttempt,
  HandlerTransaction,
  ReportedFailure,
  StaleAttemptError,
} from './handler-transaction.ts';

export interface Completed {
  kind: 'completed';
  result: Json;
}

/** The attempt left nothing in Postgres, unless it did commit and only the answer to COMMIT was lost. */
export interface NotCompleted {
  kind: 'failed';
  error: unknown;
  /** The workflow was canceled. This does not count as a failure of the attempt. */
  cancelled: boolean;
}

/**
 * Postgres was unavailable, or the worker is shutting down. This does not count as a failed attempt. As with `failed`, the
 * attempt left nothing in Postgres.
 */
export interface Interrupted {
  kind: 'interrupted';
  error: unknown;
  /** Postgres or the connection failed after the attempt had started. The handler itself may have caused this. */
  connectionFailed: boolean;
}

/** How long to wait for the answer to the row lock. The attempt has not started before that answer. */
const BEGIN_LIMIT_MS = 10_000;

/**
 * Runs the attempt and releases the connection.
 *
 * Without `prepare`, the attempt starts, and its timeout begins to run, when Postgres has answered the row lock. If
 * something fails before that, the cause is Postgres or the network, not the command. A command's `prepare` runs first,
 * without a connection; its time counts toward the timeout.
 *
 * @param connected - a connection, which showed that the attempt may be counted
 * @param context - of the activity that runs the attempt; null for an express attempt, which runs outside of activities
 * @param record - for a command whose workflow is started only after it completes: how to mark the entry until then
 */
export async function performAttempt(
  dependencies: AttemptDependencies,
  entry: Entry,
  connected: PoolClient,
  context: Context | null,
  record?: RecordMark,
): Promise<Completed | NotCompleted | Interrupted> {
  const command = dependencies.registry.get(entry.commandType);
  const limit = new AttemptLimit(0, context, dependencies.shutdown);
  const attempt = { dependencies, entry, command, limit, timeoutMs: command?.timeoutMs ?? 0, record };
  try {
    if (!command?.definition.prepare) return await performConnected(attempt, connected, null);
    connected.release();
    return await prepareAndPerform({ ...attempt, command });
  } finally {
    limit.end();
  }
}

interface Attempt {
  dependencies: AttemptDependencies;
  entry: Entry;
  command: RegisteredCommand | undefined;
  limit: AttemptLimit;
  /** The time that is left, in ms. */
  timeoutMs: number;
  record: RecordMark | undefined;
}

async function prepareAndPerform(
  attempt: Attempt & { command: RegisteredCommand },
): Promise<Completed | NotCompleted | Interrupted> {
  const { dependencies, entry, command, limit } = attempt;
  const started = performance.now();
  limit.begin(command.timeoutMs);
  let prepared: Prepared | null;
  try {
    const log = attemptLog(dependencies, entry);
    prepared = await tracedPhase('prepare', () =>
      aborted(limit.signal, runPrepare(command, entry, limit.signal, log)),
    );
  } catch (error) {
    const outcome = classifyPrepareError(limit, error);
    limit.abandon(outcome.error);
    return outcome;
  }
  const timeoutMs = Math.max(1, Math.ceil(command.timeoutMs - (performance.now() - started)));
  // The command can do nothing about a wait for a connection.
  limit.pause();
  let client: PoolClient;
  try {
    client = await acquire(dependencies.attempts);
  } catch (error) {
    return { kind: 'interrupted', error, connectionFailed: false };
  }
  if (limit.signal.aborted) {
    // The workflow was canceled, or the worker shuts down.
    client.release();
    return classifyPrepareError(limit, limit.signal.reason);
  }
  return performConnected({ ...attempt, timeoutMs }, client, prepared);
}

function classifyPrepareError(limit: AttemptLimit, error: unknown): NotCompleted | Interrupted {
  const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
  if (!limit.cancelRequested && reason instanceof AttemptInterruptedError)
    return { kind: 'interrupted', error: reason, connectionFailed: false };
  return { kind: 'failed', error: reason, cancelled: limit.cancelRequested };
}

async function performConnected(
  attempt: Attempt,
  client: PoolClient,
  prepared: Prepared | null,
): Promise<Completed | NotCompleted | Interrupted> {
  const { dependencies, entry, command, limit, timeoutMs } = attempt;
  limit.beginWithin(Math.max(timeoutMs, BEGIN_LIMIT_MS));
  const run: RunningAttempt = { limit, watch: new ConnectionWatch(client), locked: null };
  let broken: Error | true | undefined;
  try {
    if (!command) throw new ReportedFailure(unknownCommand(dependencies, entry));
    return await runInTransaction({ ...attempt, command }, client, run, prepared);
  } catch (error) {
    const outcome = classifyError(run, command, error);
    broken = await endTransaction(dependencies, client, run);
    limit.abandon(outcome.error);
    return outcome;
  } finally {
    run.watch.end();
    client.release(broken);
  }
}

function attemptLog({ log }: AttemptDependencies, { messageId, commandType, attempt }: Entry): CommandLog {
  return withFields(log, { messageId, commandType, attempt });
}

/** The state of an attempt that is running. */
interface RunningAttempt {
  limit: AttemptLimit;
  watch: ConnectionWatch;
  /** Null until the attempt has started. */
  locked: LockedAttempt | null;
}

function classifyError(
  { limit, watch, locked }: RunningAttempt,
  command: RegisteredCommand | undefined,
  error: unknown,
): NotCompleted | Interrupted {
  const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
  const failed = { kind: 'failed', error: reason, cancelled: limit.cancelRequested } as const;
  const interrupted = { kind: 'interrupted', error: reason, connectionFailed: false } as const;
  if (limit.cancelRequested || error instanceof StaleAttemptError || !command) return failed;
  if (!locked || reason instanceof AttemptInterruptedError) return interrupted;
  if (limit.signal.aborted) return failed;
  const cause = watch.unavailability(error);
  return cause ? { ...interrupted, error: cause, connectionFailed: true } : failed;
}

/** Returns the failure to record for an attempt that ended with this error. */
export function reportOf(error: unknown): FailureReport {
  return error instanceof ReportedFailure ? error.report : reportFailure(error);
}

/** The failure to record when a command's attempts have lost their connection too often for this to be a coincidence. */
export function tooManyInterruptions(error: unknown): ReportedFailure {
  const message =
    `${messageOf(error)}; ${MAX_INTERRUPTIONS} earlier attempts also lost their connection to Postgres: ` +
    'check whether the handler breaks the connection';
  return new ReportedFailure(inboxFailure(FAILURE.connectionLost, message, true));
}

async function runInTransaction(
  { dependencies, command, entry, timeoutMs, record }: Attempt & { command: RegisteredCommand },
  client: PoolClient,
  run: RunningAttempt,
  prepared: Prepared | null,
): Promise<Completed> {
  const { messageId, attempt } = entry;
  const { limit } = run;
  const work = async () => {
    await crashPoint('after-claim', messageId);
    limit.beginWithin(BEGIN_LIMIT_MS);
    const locking = beginAttempt(client, messageId, attempt, timeoutMs);
    const transaction = new HandlerTransaction(client, dependencies.trace);
    const handle = async () => {
      // External effects cannot be rolled back, so a stale attempt must not start them.
      if (command.effects === 'external') await locking;
      await crashPoint('row-locked', messageId);
      const log = attemptLog(dependencies, entry);
      return tracedPhase('handler', () =>
        runHandler(command, entry, transaction, limit.signal, log, dependencies, prepared),
      );
    };
    try {
      // To save a round trip, the handler sends its first statement without waiting for the answer to the lock. If the
      // attempt is stale, everything the handler did is rolled back.
      const handling = handle();
      handling.catch(() => {});
      const locked = await locking;
      run.locked = locked;
      limit.begin(command.timeoutMs, timeoutMs);
      const { result, events } = await handling;
      transaction.close();
      limit.signal.throwIfAborted();
      await crashPoint('before-commit', messageId);
      const done = { messageId, attempt, xid: locked.xid, result, events, record };
      await tracedPhase('commit', () => complete(client, run, command, done, transaction.callsSetConfig));
      await crashPoint('after-commit', messageId);
      return { kind: 'completed', result } as const;
    } catch (error) {
      throw transaction.explain(error);
    } finally {
      transaction.close();
    }
  };
  return aborted(limit.signal, work());
}

/**
 * Marks the entry as Completed, commits, and resets the session, all in one round trip. If the entry must not be completed,
 * completeEntry fails, and Postgres then treats COMMIT as ROLLBACK.
 */
async function complete(
  client: PoolClient,
  { watch }: RunningAttempt,
  { timeoutMs }: RegisteredCommand,
  done: Parameters<typeof completeEntry>[1],
  mayHaveRole: boolean,
): Promise<void> {
  const everything = watch.touchedSession;
  const carried = poolerSettingsOf(client);
  const reset = resetSession({ everything, carried });
  const answers = await together(client, () =>
    Promise.allSettled([
      ...(everything || mayHaveRole ? [client.query(resumeOwnRole(timeoutMs))] : []),
      completeEntry(client, done),
      // Behind a pooler, COMMIT and reset must be one message: the next message may reach another server connection.
      ...(carried === null
        ? [commit(client), client.query(reset), ...(everything ? [] : [releaseSessionLocks(client)])]
        : [commit(client, reset)]),
    ]),
  );
  // The first rejection is the cause; that of COMMIT is only a consequence.
  const rejected = answers.find((answer) => answer.status === 'rejected');
  if (rejected) throw rejected.reason;
  if (everything) forgetPrepared(client);
}

/**
 * Rolls back. If the attempt was aborted, one of its statements may still be running, and its row lock would block other
 * attempts: then the connection is destroyed and the transaction terminated. A connection on which the attempt could not
 * start is destroyed too.
 */
async function endTransaction(
  { records }: AttemptDependencies,
  client: PoolClient,
  { limit, watch, locked }: RunningAttempt,
): Promise<Error | true | undefined> {
  if (limit.signal.aborted || watch.lost || !locked) {
    cut(client);
    // If this fails, Postgres is unavailable, and the lock ends with the transaction.
    if (locked) await terminateTransaction(records, locked.pid, locked.xid).catch(() => {});
    return true;
  }
  const carried = poolerSettingsOf(client);
  const reset = resetSession({ everything: true, carried });
  forgetPrepared(client);
  // As with COMMIT, this must be one message behind a pooler.
  const statements = carried === null ? ['rollback', reset] : [`rollback; ${reset}`];
  return together(client, () => Promise.all(statements.map((text) => client.query(text)))).then(
    () => undefined,
    (error: Error) => error,
  );
}

function unknownCommand({ registry }: AttemptDependencies, entry: Entry): FailureReport {
  const known = [...registry.keys()].sort().join(', ') || 'none';
  return inboxFailure(
    FAILURE.unknownCommandType,
    `this worker has no command ${entry.commandType}; it knows: ${known}`,
    false,
  );
}
