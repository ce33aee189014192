/**
 * A claimed attempt's one transaction, from BEGIN to COMMIT or to its end without a trace. Knows nothing of Temporal's
 * activities: a first attempt of an express command is run by none.
 *
 * @module
 */
import type { Context } from '@temporalio/activity';
import type { PoolClient } from 'pg';
import { crashPoint } from '../platform/crash-points.ts';
import { cut } from '../platform/connection.ts';
import { carriedOf } from '../platform/connection-state.ts';
import { commit, together } from '../platform/postgres.ts';
import { messageOf } from '../platform/error-message.ts';
import { inboxFailure, reportFailure } from './failure-report.ts';
import type { FailureReport } from './failure-report.ts';
import type { Json } from '../core/json.ts';
import { withFields } from '../platform/log.ts';
import { forgetPrepared } from '../platform/prepared-statements.ts';
import { FAILURE } from '../core/protocol.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import { terminateTransaction } from '../store/sessions.ts';
import { completeEntry, MAX_INTERRUPTIONS } from '../store/entries.ts';
import { releaseSessionLocks, resetSession, resumeOwnRole } from '../store/session-reset.ts';
import type { Entry, LockedAttempt, RecordMark } from '../store/entries.ts';
import { ConnectionWatch } from './connection-watch.ts';
import type { AttemptDependencies } from './dependencies.ts';
import { runHandler } from './run-handler.ts';
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

/** Nothing of the attempt is left in Postgres, unless only the answer to its COMMIT was lost. */
export interface NotCompleted {
  kind: 'failed';
  error: unknown;
  /** A person cancelled the workflow: that is no failure of the attempt. */
  cancelled: boolean;
}

/** It uses up no try: Postgres was not available to it, or its worker shuts down. What is left of it is as with `failed`. */
export interface Interrupted {
  kind: 'interrupted';
  error: unknown;
  /** It had begun, and lost its connection: that may be the handler's own doing. */
  connectionFailed: boolean;
}

/** How long an attempt waits for the answer to its row lock: until then it has not begun. */
const BEGIN_LIMIT_MS = 10_000;

/**
 * Runs it, and gives the connection back.
 *
 * The attempt begins, and its timeout runs, when the answer to the row lock has arrived. What fails before that is Postgres or
 * the way to it.
 *
 * @param context - of the activity that runs it; null where none does
 * @param record - whether its workflow is still to be started once it completes
 */
export async function performAttempt(
  dependencies: AttemptDependencies,
  entry: Entry,
  client: PoolClient,
  context: Context | null,
  record?: RecordMark,
): Promise<Completed | NotCompleted | Interrupted> {
  const command = dependencies.registry.get(entry.commandType);
  const limit = new AttemptLimit(0, context, dependencies.shutdown);
  limit.beginWithin(Math.max(command?.timeoutMs ?? 0, BEGIN_LIMIT_MS));
  const run: Run = { limit, watch: new ConnectionWatch(client), locked: null };
  let broken: Error | true | undefined;
  try {
    if (!command) throw new ReportedFailure(unknownCommand(dependencies, entry));
    return await perform(dependencies, command, entry, client, run, record);
  } catch (error) {
    const outcome = judge(run, command, error);
    broken = await endTransaction(dependencies, client, run);
    limit.abandon(outcome.error);
    return outcome;
  } finally {
    limit.end();
    run.watch.end();
    client.release(broken);
  }
}

/** An attempt on its way. */
interface Run {
  limit: AttemptLimit;
  watch: ConnectionWatch;
  /** Null until it has begun. */
  locked: LockedAttempt | null;
}

function judge(
  { limit, watch, locked }: Run,
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

/** What is written down of an attempt that failed. */
export function reportOf(error: unknown): FailureReport {
  return error instanceof ReportedFailure ? error.report : reportFailure(error);
}

/** What is written down when an attempt was interrupted once too often for that to be chance. */
export function tooManyInterruptions(error: unknown): ReportedFailure {
  const message =
    `${messageOf(error)}; ${MAX_INTERRUPTIONS} earlier attempts lost their connection to Postgres as well, ` +
    'so look whether the handler breaks it';
  return new ReportedFailure(inboxFailure(FAILURE.connectionLost, message, true));
}

async function perform(
  dependencies: AttemptDependencies,
  command: RegisteredCommand,
  entry: Entry,
  client: PoolClient,
  run: Run,
  record: RecordMark | undefined,
): Promise<Completed> {
  const { messageId, attempt } = entry;
  const { limit } = run;
  const work = async () => {
    await crashPoint('after-claim', messageId);
    limit.beginWithin(BEGIN_LIMIT_MS);
    const locking = beginAttempt(client, messageId, attempt, command.timeoutMs);
    const transaction = new HandlerTransaction(client);
    const handle = async () => {
      // What nothing takes back must not begin for an attempt that is stale.
      if (command.effects === 'external') await locking;
      await crashPoint('row-locked', messageId);
      const log = withFields(dependencies.log, { messageId, commandType: entry.commandType, attempt });
      return runHandler(command, entry, transaction, limit.signal, log, dependencies);
    };
    try {
      // The handler's first statement is on its way behind the lock, not after its answer. Where the attempt turns out to be
      // stale, what it did is rolled back like everything that the fence turns away.
      const handling = handle();
      handling.catch(() => {});
      const locked = await locking;
      run.locked = locked;
      limit.begin(command.timeoutMs);
      const { result, events } = await handling;
      transaction.close();
      limit.signal.throwIfAborted();
      await crashPoint('before-commit', messageId);
      const done = { messageId, attempt, xid: locked.xid, result, events, record };
      await complete(client, run, command, done, transaction.callsSetConfig);
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
 * One round trip. What completes fails where it must not be committed, and then COMMIT is a ROLLBACK. What the handler has left in
 * the session ends with its transaction.
 */
async function complete(
  client: PoolClient,
  { watch }: Run,
  { timeoutMs }: RegisteredCommand,
  done: Parameters<typeof completeEntry>[1],
  mayHaveRole: boolean,
): Promise<void> {
  const everything = watch.touchedSession;
  const carried = carriedOf(client);
  const reset = resetSession({ everything, carried });
  const answers = await together(client, () =>
    Promise.allSettled([
      ...(everything || mayHaveRole ? [client.query(resumeOwnRole(timeoutMs))] : []),
      completeEntry(client, done),
      // Behind a pooler it has to be one message: the next one may reach another server.
      ...(carried === null
        ? [commit(client), client.query(reset), ...(everything ? [] : [releaseSessionLocks(client)])]
        : [commit(client, reset)]),
    ]),
  );
  // The first is the cause; COMMIT only says that there is one.
  const refused = answers.find((answer) => answer.status === 'rejected');
  if (refused) throw refused.reason;
  if (everything) forgetPrepared(client);
}

/**
 * Rolls back. An attempt that was cut off may still have a statement under way, and its lock would make everyone wait: its
 * connection is destroyed, and its transaction ended. So is a connection on which no attempt could begin.
 */
async function endTransaction(
  { records }: AttemptDependencies,
  client: PoolClient,
  { limit, watch, locked }: Run,
): Promise<Error | true | undefined> {
  if (limit.signal.aborted || watch.lost || !locked) {
    cut(client);
    // Where this fails Postgres is away, and the lock goes with its transaction.
    if (locked) await terminateTransaction(records, locked.pid, locked.xid).catch(() => {});
    return true;
  }
  const carried = carriedOf(client);
  const reset = resetSession({ everything: true, carried });
  forgetPrepared(client);
  // As with COMMIT: behind a pooler it has to be one message.
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
