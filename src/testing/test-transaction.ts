/**
 * The transaction in which `runCommand` runs a handler.
 *
 * @module
 */
import type { Pool, PoolClient } from 'pg';
import type { ClientBase } from 'pg';
import { UnreachableError, UnusableTransactionError } from '../core/errors.ts';
import { cut } from '../platform/connection.ts';
import { withTimeout } from '../platform/deadline.ts';
import { sqlStateOf } from '../platform/error-chain.ts';
import { acquire } from '../platform/postgres.ts';
import type { Queryable } from '../platform/queryable.ts';
import { terminateTransaction } from '../store/sessions.ts';
import {
  beginInSavepoint,
  beginTestAttempt,
  keepSavepoint,
  rollBackTestAttempt,
  rollBackToSavepoint,
} from '../store/test-attempt.ts';
import type { BegunTestAttempt } from '../store/test-attempt.ts';

/** Runs work in a transaction of the kind that the test has chosen. */
export type InTransaction = <T>(limits: AttemptLimits, work: InTransactionWork<T>) => Promise<T>;

export interface AttemptLimits {
  timeoutMs: number;
  /** Aborted when the attempt is over although its handler may still be running. */
  signal: AbortSignal;
}

type InTransactionWork<T> = (client: PoolClient, begun: BegunTestAttempt) => Promise<T>;

/** A worker's connections send queries without waiting for the answers to previous ones. Cursors do not work on them. */
const PIPELINED = { pipeline: true };

/** How long to wait for a connection of the pool, in ms. Without a limit, a test that holds all of them would hang. */
const CONNECT_LIMIT_MS = 10_000;
/** How long to try to end the transaction of a handler that hangs, in ms. */
const TERMINATE_LIMIT_MS = 5_000;

/**
 * Runs the work on a connection of the pool, and rolls back. The connection is closed afterwards, so that nothing of its
 * session remains either.
 */
export function inOwnTransaction(pool: Pool): InTransaction {
  return async (limits, work) => {
    const client = await connect(pool);
    // A connection that breaks emits an event, which would end the process.
    client.on('error', () => {});
    Object.assign(client, PIPELINED);
    let begun: BegunTestAttempt | undefined;
    try {
      begun = await beginTestAttempt(client, limits.timeoutMs);
      return await work(client, begun);
    } finally {
      if (limits.signal.aborted) cut(client);
      else await rollBackTestAttempt(client).catch(() => {});
      client.release(true);
      // The backend would run the handler's statement to its end before it notices that the connection is closed.
      if (limits.signal.aborted && begun) await terminate(pool, begun);
    }
  };
}

/** @throws UnreachableError if no connection is free for too long */
async function connect(pool: Pool): Promise<PoolClient> {
  const connecting = acquire(pool);
  const giveUp = () => {
    void connecting.then(
      (client) => client.release(),
      () => {},
    );
    const { totalCount, options } = pool;
    throw new UnreachableError(
      `runCommand: pool gave no connection within ${CONNECT_LIMIT_MS / 1000} s; ${totalCount} of at most ${options.max} ` +
        'are open: release connections before you call runCommand, or pass one of them as tx',
    );
  };
  return withTimeout(CONNECT_LIMIT_MS, () => connecting, giveUp);
}

async function terminate(pool: Pool, { pid, xid }: BegunTestAttempt): Promise<void> {
  const terminating = () => terminateTransaction(pool, pid, xid);
  await withTimeout(TERMINATE_LIMIT_MS, terminating, () => {}).catch(() => {});
}

/** The clients that run an attempt. Two attempts on one connection would roll back each other's changes. */
const inUse = new WeakSet<object>();

/**
 * Runs the work in a savepoint of an open transaction.
 *
 * @param keep - keep the changes of an attempt that succeeds; otherwise everything is rolled back to the savepoint
 */
export function inSavepoint(tx: Pick<ClientBase, 'query'>, keep: boolean): InTransaction {
  return async (limits, work) => {
    if (inUse.has(tx)) {
      throw new UnusableTransactionError(
        'tx is in use by another runCommand: await that one first, or pass another connection',
      );
    }
    inUse.add(tx);
    const client = { ...PIPELINED, query: tx.query.bind(tx) } as unknown as PoolClient;
    const begun = await begin(client, limits.timeoutMs).catch((error: unknown) => {
      inUse.delete(tx);
      throw error;
    });
    try {
      const result = await work(client, begun);
      await (keep ? keepSavepoint(client, begun) : rollBackToSavepoint(client));
      inUse.delete(tx);
      return result;
    } catch (error) {
      await undo(client, limits);
      inUse.delete(tx);
      throw error;
    }
  };
}

/** @throws UnusableTransactionError if `tx` is not in a transaction, or an earlier error has aborted it */
async function begin(client: Queryable, timeoutMs: number): Promise<BegunTestAttempt> {
  try {
    return await beginInSavepoint(client, timeoutMs);
  } catch (error) {
    const problem = UNUSABLE[sqlStateOf(error as Error) ?? ''];
    throw problem === undefined ? error : new UnusableTransactionError(problem, { cause: error });
  }
}

const UNUSABLE: Record<string, string> = {
  '25P01': 'tx is not in a transaction: send BEGIN first, or pass the pool as pool',
  '25P02': 'the transaction of tx was aborted by an earlier error: roll it back first',
};

/**
 * Rolls back to the savepoint. If the handler's statement still runs, the rollback waits until Postgres's statement timeout
 * ends that statement.
 *
 * @throws UnusableTransactionError if the statement does not end
 */
async function undo(client: Queryable, { timeoutMs, signal }: AttemptLimits): Promise<void> {
  // If this fails, the handler ended the transaction, or the connection is lost: the attempt's error says more.
  const rollingBack = rollBackToSavepoint(client).catch(() => {});
  if (!signal.aborted) return rollingBack;
  await withTimeout(
    timeoutMs + TERMINATE_LIMIT_MS,
    () => rollingBack,
    () => {
      throw new UnusableTransactionError(
        'tx still runs a statement of a handler that has exceeded its timeout: close its connection',
        { cause: signal.reason },
      );
    },
  );
}
