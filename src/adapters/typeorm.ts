/**
 * TypeORM. Tested with 1.1.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

/** `QueryRunner` of TypeORM, after `startTransaction()`. */
export interface TypeOrmQueryRunner {
  readonly isTransactionActive: boolean;
  readonly isReleased: boolean;
  query(query: string, parameters: unknown[]): Promise<unknown>;
}

/** `EntityManager` of TypeORM, as `dataSource.transaction((manager) => …)` gives it. */
export interface TypeOrmEntityManager {
  /** Exists on the manager of a transaction, but not on the manager of a DataSource. */
  readonly queryRunner?: TypeOrmQueryRunner | undefined;
  /** Exists only on a DataSource. */
  readonly createQueryRunner?: never;
}

/**
 * Turns a TypeORM transaction into a client for the option `tx` of `inbox.send`.
 *
 * @param transaction - the manager of a transaction, or a query runner that has started one
 * @throws UnusableTransactionError if it is neither, or the transaction has ended
 * @example
 * await dataSource.transaction(async (manager) => {
 *   await inbox.send(reserveStock, message, { tx: fromTypeOrm(manager) });
 * });
 */
export function fromTypeOrm(transaction: TypeOrmQueryRunner | TypeOrmEntityManager): SqlClient {
  const queryRunner = activeQueryRunner(transaction);
  return {
    async query(text, values) {
      activeQueryRunner(queryRunner);
      try {
        return { rows: (await queryRunner.query(text, values)) as unknown[] };
      } catch (error) {
        throw withoutValues(error);
      }
    },
  };
}

/** Without an active transaction, a query runner takes any connection from the pool. */
function activeQueryRunner(transaction: TypeOrmQueryRunner | TypeOrmEntityManager): TypeOrmQueryRunner {
  const given = (transaction ?? {}) as Partial<TypeOrmQueryRunner & TypeOrmEntityManager>;
  const queryRunner = given.queryRunner ?? given;
  if (queryRunner.isTransactionActive === true && queryRunner.isReleased === false)
    return queryRunner as TypeOrmQueryRunner;
  throw new UnusableTransactionError(
    'fromTypeOrm needs a transaction that has started and not ended: pass the manager that ' +
      'dataSource.transaction((manager) => …) gives, or a query runner after startTransaction()',
  );
}

/** A QueryFailedError has all parameters as a property, and these contain payloads. */
function withoutValues(error: unknown): unknown {
  if (error instanceof Error && 'parameters' in error) error.parameters = [];
  return error;
}
