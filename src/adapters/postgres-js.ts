/**
 * postgres.js (the npm package `postgres`). Tested with 3.4.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

/** `TransactionSql` of postgres.js. */
export interface PostgresJsTransaction {
  unsafe(query: string, parameters: string[]): PromiseLike<readonly unknown[]>;
  /** Exists on a transaction, but not on the `sql` of a pool or of a reserved connection. */
  savepoint: (...args: never[]) => unknown;
}

/**
 * Turns a postgres.js transaction into a client for the option `tx` of `inbox.send`.
 *
 * postgres.js does not reveal whether the transaction has ended, so a late send would not be noticed: await the send inside
 * `sql.begin`.
 *
 * @throws UnusableTransactionError if `sql` is not a transaction
 * @example
 * await sql.begin(async (sql) => {
 *   await inbox.send(reserveStock, message, { tx: fromPostgresJs(sql) });
 * });
 */
export function fromPostgresJs(sql: PostgresJsTransaction): SqlClient {
  const { unsafe, savepoint } = (sql ?? {}) as Partial<PostgresJsTransaction>;
  if (typeof unsafe !== 'function' || typeof savepoint !== 'function') {
    throw new UnusableTransactionError(
      'fromPostgresJs needs a transaction, because other statements may run on any connection: pass the sql that ' +
        'sql.begin((sql) => …) gives',
    );
  }
  return {
    query: async (text, values) => ({ rows: [...(await sql.unsafe(text, values as string[]))] }),
  };
}
