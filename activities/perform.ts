/**
 * A claimed attempt's one transaction, from BEGIN to COMMIT or to its end without a trace. Knows nothing of Temporal's
 * activities: a first attempt of an express command is run by none.
 *
 * @module
 */
import type { Context } from '@temporalio/activity';
import type { PoolClient } from 'pg';
import { crashPoint } from '../src/crash-points.ts';
import { commit, together } from '../src/database.ts';
import { inboxFailure, reportFailure } from '../src/failure.ts';
import type { FailureReport } from '../src/failure.ts';
import type { Json } from '../src/json.ts';
import { withFields } from '../src/log.ts';
import { FAILURE } from '../src/protocol.ts';
import type { RegisteredCommand } from '../src/registry.ts';
import { terminateBackend } from '../src/store/backends.ts';
import { completeEntry } from '../src/store/entries.ts';
import type { Entry, RecordMark } from '../src/store/entries.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { runHandler } from './handler.ts';
import { aborted, AttemptLimit } from './limit.ts';
import { beginAttempt, HandlerTransaction, ReportedFailure } from './transaction.ts';

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

/**
 * Runs it, and gives the connection back.
 *
 * @param context - of the activity that runs it; null where none does
 * @param record - whether its workflow is still to be started once it completes
 */
export async function performAttempt(
  dependencies: ActivityDependencies,
  entry: Entry,
  client: PoolClient,
  context: Context | null,
  record?: RecordMark,
): Promise<Completed | NotCompleted> {
  const command = dependencies.registry.get(entry.commandType);
  const limit = new AttemptLimit(command?.timeoutMs ?? 0, context, dependencies.shutdown);
  const run: { backend: number | null } = { backend: null };
  let broken: Error | true | undefined;
  try {
    if (!command) throw new ReportedFailure(unknownCommand(dependencies, entry));
    return await perform(dependencies, command, entry, client, limit, run, record);
  } catch (error) {
    broken = await endTransaction(dependencies, client, limit, run.backend);
    const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
    limit.abandon(reason);
    return { kind: 'failed', error: reason, cancelled: limit.cancelRequested };
  } finally {
    limit.end();
    client.release(broken);
  }
}

/** What is written down of an attempt that failed. */
export function reportOf(error: unknown): FailureReport {
  return error instanceof ReportedFailure ? error.report : reportFailure(error);
}

async function perform(
  dependencies: ActivityDependencies,
  command: RegisteredCommand,
  entry: Entry,
  client: PoolClient,
  limit: AttemptLimit,
  run: { backend: number | null },
  record: RecordMark | undefined,
): Promise<Completed> {
  const { messageId, attempt } = entry;
  const work = async () => {
    await crashPoint('after-claim', messageId);
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
      run.backend = locked.pid;
      const { result, events } = await handling;
      transaction.close();
      limit.signal.throwIfAborted();
      await crashPoint('before-commit', messageId);
      // One round trip. What completes fails where it must not be committed, and then COMMIT is a ROLLBACK.
      await together(client, () =>
        Promise.all([
          completeEntry(client, { messageId, attempt, xid: locked.xid, result, events, record }),
          commit(client),
        ]),
      );
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

function unknownCommand({ registry }: ActivityDependencies, entry: Entry): FailureReport {
  const known = [...registry.keys()].sort().join(', ') || 'none';
  return inboxFailure(
    FAILURE.unknownCommandType,
    `this worker has no command ${entry.commandType}; it knows: ${known}`,
    false,
  );
}
