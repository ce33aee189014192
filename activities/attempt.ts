/**
 * One attempt of a command, from claim to commit or recorded failure. The same code for the local activity of the
 * first attempt and the ordinary one of the retries.
 *
 * @module
 */
import { activityInfo, Context } from '@temporalio/activity';
import type { PoolClient } from 'pg';
import { commit } from '../src/database.ts';
import { parseEnvelope } from '../src/envelope.ts';
import { InvalidMessageError } from '../src/errors.ts';
import { inboxFailure, reportFailure, splitErrorText } from '../src/failure.ts';
import type { FailureReport } from '../src/failure.ts';
import { withFields } from '../src/log.ts';
import type { AttemptInput, AttemptOutcome } from '../src/outcome.ts';
import { FAILURE } from '../src/protocol.ts';
import type { RegisteredCommand } from '../src/registry.ts';
import { crashPoint } from '../src/crash-points.ts';
import { terminateBackend } from '../src/store/backends.ts';
import { completeEntry, findEntry, findWaitingEntry } from '../src/store/entries.ts';
import type { Entry, NewEntry } from '../src/store/entries.ts';
import { factsOf, overtaken, reaching, refusal, transientFailure } from './answers.ts';
import { claim } from './claim.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { runHandler } from './handler.ts';
import { withHeartbeat } from './heartbeat.ts';
import { aborted, AttemptLimit } from './limit.ts';
import { recordFailure } from './record-failure.ts';
import { beginAttempt, HandlerTransaction, ReportedFailure, StaleAttemptError } from './transaction.ts';

export function createAttempt(dependencies: ActivityDependencies) {
  // A worker without long-running commands need not ask each message whether it is one.
  const hasLongRunning = [...dependencies.registry.values()].some((command) => command.longRunning);
  return async function attempt(input: AttemptInput): Promise<AttemptOutcome> {
    const messageId = activityInfo().workflowExecution!.workflowId;
    const envelope = readEnvelope(messageId, input, dependencies.maxPayloadBytes);
    if (input.lane === 'first') {
      const longRunning = hasLongRunning ? await findLongRunning(dependencies, messageId, envelope) : null;
      return longRunning ?? attemptOnce(dependencies, messageId, envelope);
    }
    return withHeartbeat(async () => {
      if (input.lane === 'retry' && activityInfo().attempt === 1) await carryOver(dependencies, messageId);
      return attemptOnce(dependencies, messageId, envelope);
    });
  };
}

function readEnvelope(
  messageId: string,
  { envelope }: AttemptInput,
  maxPayloadBytes: number,
): NewEntry | null {
  if (envelope === undefined) return null;
  try {
    return parseEnvelope(messageId, envelope, maxPayloadBytes);
  } catch (error) {
    if (error instanceof InvalidMessageError) throw refusal(FAILURE.invalidEnvelope, error.message);
    throw error;
  }
}

/** Where the type is only in the row, it is looked up. */
async function findLongRunning(
  dependencies: ActivityDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<AttemptOutcome | null> {
  const { registry, records } = dependencies;
  const entry = envelope ? { ...envelope, generation: 0 } : await reaching(findEntry(records, messageId));
  const command = entry ? registry.get(entry.commandType) : undefined;
  if (!entry || !command?.longRunning) return null;
  return { kind: 'longRunning', facts: factsOf(dependencies, entry, command) };
}

/**
 * The first try of the ordinary activity, when the time of the next attempt has not come: fails with the failure that
 * is in the row, so that Temporal waits as long as the row says and the Web UI shows both. From here on Temporal's
 * count of tries is that of the row.
 */
async function carryOver(dependencies: ActivityDependencies, messageId: string): Promise<void> {
  const entry = await reaching(findWaitingEntry(dependencies.records, messageId));
  if (!entry) return;
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  throw transientFailure(
    facts,
    splitErrorText(entry.error),
    entry.retryCount,
    entry.nextRetryAt,
    entry.waitMs,
  );
}

async function attemptOnce(
  dependencies: ActivityDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<AttemptOutcome> {
  // Before the claim: an attempt that cannot have a connection must not be counted as one.
  const client = await reaching(dependencies.attempts.connect());
  let broken: Error | true | undefined;
  try {
    await crashPoint('before-claim', messageId);
    const claimed = await claim(dependencies, messageId, envelope);
    if (claimed.kind === 'completed') return claimed;
    const { entry } = claimed;
    await crashPoint('after-claim', messageId);
    const command = dependencies.registry.get(entry.commandType);
    const limit = new AttemptLimit(command?.timeoutMs ?? 0, Context.current(), dependencies.shutdown);
    const run: { backend: number | null } = { backend: null };
    try {
      if (!command) throw new ReportedFailure(unknownCommand(dependencies, entry));
      return await perform(dependencies, command, entry, client, limit, run);
    } catch (error) {
      broken = await endTransaction(dependencies, client, limit, run.backend);
      if (limit.cancelRequested) throw limit.signal.reason;
      return await settleFailure(dependencies, entry, limit.signal.aborted ? limit.signal.reason : error);
    } finally {
      limit.end();
    }
  } finally {
    client.release(broken);
  }
}

async function perform(
  dependencies: ActivityDependencies,
  command: RegisteredCommand,
  entry: Entry,
  client: PoolClient,
  limit: AttemptLimit,
  run: { backend: number | null },
): Promise<AttemptOutcome> {
  const { messageId, attempt } = entry;
  const work = async () => {
    const locked = await beginAttempt(client, messageId, attempt, command.timeoutMs);
    run.backend = locked.pid;
    await crashPoint('row-locked', messageId);
    const transaction = new HandlerTransaction(client);
    try {
      const log = withFields(dependencies.log, { messageId, commandType: entry.commandType, attempt });
      const { result, events } = await runHandler(
        command,
        entry,
        transaction.facade,
        limit.signal,
        log,
        dependencies,
      );
      transaction.close();
      limit.signal.throwIfAborted();
      const completed = await completeEntry(client, { messageId, attempt, xid: locked.xid, result, events });
      if (!completed)
        throw new ReportedFailure(inboxFailure(FAILURE.transactionEnded, ENDED_BY_HANDLER, false));
      await crashPoint('before-commit', messageId);
      await commit(client);
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

const ENDED_BY_HANDLER =
  'the handler ended the transaction itself (COMMIT or ROLLBACK through tx); what it committed stays, and a person must look';

/**
 * Rolls back. An aborted attempt may still have a statement under way, and its lock would make everyone wait: its
 * connection is destroyed, and its backend ended.
 */
async function endTransaction(
  { records }: ActivityDependencies,
  client: PoolClient,
  limit: AttemptLimit,
  backend: number | null,
): Promise<Error | true | undefined> {
  if (limit.signal.aborted) {
    // Where this fails Postgres is away, and the lock goes with its transaction.
    if (backend !== null) await terminateBackend(records, backend).catch(() => {});
    return true;
  }
  return client.query('rollback').then(
    () => undefined,
    (error: Error) => error,
  );
}

/** Writes the failure down and tells Temporal; a commit whose answer was lost turns out to have been none. */
async function settleFailure(
  dependencies: ActivityDependencies,
  entry: Entry,
  error: unknown,
): Promise<AttemptOutcome> {
  if (!(error instanceof StaleAttemptError)) {
    const report = error instanceof ReportedFailure ? error.report : reportFailure(error);
    await crashPoint('before-failure-recorded', entry.messageId);
    const failure = await reaching(recordFailure(dependencies, entry, report));
    await crashPoint('after-failure-recorded', entry.messageId);
    if (failure) throw failure;
  }
  const current = await reaching(findEntry(dependencies.records, entry.messageId));
  if (current?.status === 'Completed') return { kind: 'completed', result: current.result };
  throw overtaken(entry.attempt);
}

function unknownCommand({ registry }: ActivityDependencies, entry: Entry): FailureReport {
  const known = [...registry.keys()].sort().join(', ') || 'none';
  return inboxFailure(
    FAILURE.unknownCommandType,
    `this worker has no command ${entry.commandType}; it knows: ${known}`,
    false,
  );
}
