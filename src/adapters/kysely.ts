/**
 * Kysely. Tested with 0.28.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

/** `Transaction<DB>` or `ControlledTransaction<DB>` of Kysely. */
export interface KyselyTransaction {
  /** False for a `Kysely<DB>`, which takes a connection from its pool for each statement. */
  readonly isTransaction: true;
  executeQuery(query: KyselyQuery): Promise<{ rows: unknown[] }>;
}

/** A query that Kysely's `CompiledQuery.raw` has created. */
export interface KyselyQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: {
    readonly kind: 'RawNode';
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly never[];
  };
  readonly queryId: { readonly queryId: string };
}

/**
 * Turns a Kysely transaction into a client for the option `tx` of `inbox.send`.
 *
 * @throws UnusableTransactionError if `trx` is not a transaction. Once the transaction has ended, Kysely itself refuses
 *   further statements
 * @example
 * await db.transaction().execute(async (trx) => {
 *   await inbox.send(reserveStock, message, { tx: fromKysely(trx) });
 * });
 */
export function fromKysely(trx: KyselyTransaction): SqlClient {
  if ((trx as Partial<KyselyTransaction> | null)?.isTransaction !== true) {
    throw new UnusableTransactionError(
      'fromKysely needs a transaction, because a Kysely instance may run each statement on another connection: pass the trx ' +
        'that db.transaction().execute((trx) => …) or db.startTransaction().execute() gives',
    );
  }
  return {
    async query(text, values) {
      const { rows } = await trx.executeQuery({
        sql: text,
        parameters: values,
        query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
        queryId: { queryId: 'temporal-inbox' },
      });
      return { rows };
    },
  };
}
