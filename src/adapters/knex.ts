/**
 * Knex, and libraries that are built on it, such as Objection. Tested with 3.3.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

/** `Knex.Transaction`. */
export interface KnexTransaction {
  /** True for a transaction. */
  readonly isTransaction?: boolean;
  /** Exists on a transaction, but not on a Knex instance. */
  isCompleted(): boolean;
  raw(sql: string, bindings: readonly string[]): PromiseLike<unknown>;
}

/**
 * Turns a Knex transaction into a client for the option `tx` of `inbox.send`.
 *
 * @throws UnusableTransactionError if `trx` is not a transaction, or has ended
 * @example
 * await knex.transaction(async (trx) => {
 *   await inbox.send(reserveStock, message, { tx: fromKnex(trx) });
 * });
 */
export function fromKnex(trx: KnexTransaction): SqlClient {
  if ((trx as Partial<KnexTransaction> | null)?.isTransaction !== true) {
    throw new UnusableTransactionError(
      'fromKnex needs a transaction, because a Knex instance may run each statement on another connection: pass the trx that ' +
        'knex.transaction((trx) => …) gives',
    );
  }
  return {
    async query(text, values) {
      if (trx.isCompleted()) {
        throw new UnusableTransactionError(
          'the transaction of Knex has ended: await the send inside the function that is passed to knex.transaction()',
        );
      }
      const { sql, bindings } = withQuestionMarks(text, values as string[]);
      return (await trx.raw(sql, bindings)) as { rows: unknown[] };
    },
  };
}

/** Knex numbers the placeholders itself: each `$n` becomes `?`, and its value is repeated. A real `?` is escaped. */
function withQuestionMarks(text: string, values: readonly string[]): { sql: string; bindings: string[] } {
  const bindings: string[] = [];
  const sql = text.replace(/\?|\$(\d+)/g, (_, place?: string) => {
    if (place === undefined) return '\\?';
    bindings.push(values[Number(place) - 1]!);
    return '?';
  });
  return { sql, bindings };
}
