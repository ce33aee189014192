/**
 * Drizzle, on any Postgres driver that has interactive transactions. Tested with drizzle-orm 0.45 on node-postgres and
 * postgres.js.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';
import { replaceMessage } from './replace-message.ts';

/** `PgTransaction` of Drizzle. */
export interface DrizzleTransaction {
  execute(query: object | string): PromiseLike<unknown>;
  /** Exists on a transaction, but not on the database object. */
  rollback(): never;
}

/**
 * Turns a Drizzle transaction into a client for the option `tx` of `inbox.send`.
 *
 * @throws UnusableTransactionError if `tx` is not a transaction or, on node-postgres, if the transaction has ended
 * @example
 * await db.transaction(async (tx) => {
 *   await inbox.send(reserveStock, message, { tx: fromDrizzle(tx) });
 * });
 */
export function fromDrizzle(tx: DrizzleTransaction): SqlClient {
  const { execute, rollback } = (tx ?? {}) as Partial<DrizzleTransaction>;
  if (typeof execute !== 'function' || typeof rollback !== 'function') {
    throw new UnusableTransactionError(
      'fromDrizzle needs a transaction, because a database object may run each statement on another connection: pass the tx ' +
        'that db.transaction((tx) => …) gives',
    );
  }
  return {
    async query(text, values) {
      if (hasEnded(tx)) {
        throw new UnusableTransactionError(
          'the transaction of Drizzle has ended: await the send inside the function that is passed to db.transaction()',
        );
      }
      const rows = await tx.execute(statement(text, values)).then(rowsOf, (error: unknown) => {
        throw withoutValues(error, text);
      });
      return { rows };
    },
  };
}

/** Drizzle calls `getSQL` on what it executes, and `toQuery` on what that returns. */
function statement(text: string, values: unknown[]): object {
  return { getSQL: () => ({ toQuery: () => ({ sql: text, params: values }) }) };
}

/** node-postgres answers with a result object, postgres.js with the rows. */
function rowsOf(answer: unknown): unknown[] {
  return Array.isArray(answer) ? answer : (answer as { rows: unknown[] }).rows;
}

/**
 * The client of node-postgres knows whether a transaction is open (`I` is idle). After the transaction has ended, it would
 * still run the statement, outside of any transaction.
 */
function hasEnded(tx: object): boolean {
  const { session } = tx as { session?: { client?: { getTransactionStatus?: unknown } } };
  const client = session?.client;
  return typeof client?.getTransactionStatus === 'function' && client.getTransactionStatus() === 'I';
}

/** A DrizzleQueryError repeats all parameters, and these contain payloads. The driver's error is its cause. */
function withoutValues(error: unknown, text: string): unknown {
  if (!(error instanceof Error) || !('params' in error)) return error;
  error.params = [];
  return replaceMessage(error, `Failed query: ${text.trim()}`);
}
