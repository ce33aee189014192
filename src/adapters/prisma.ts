/**
 * Prisma with a Postgres driver adapter. Tested with 7.10 and `@prisma/adapter-pg`.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

/** `Prisma.TransactionClient`. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: string[]): PromiseLike<unknown>;
  /** Exists on a PrismaClient, but not on the client of an interactive transaction. */
  $connect?: never;
}

/** Prisma's code for a statement in an interactive transaction that has ended or timed out. */
const TRANSACTION_CLOSED = 'P2028';

/**
 * Turns an interactive Prisma transaction into a client for the option `tx` of `inbox.send`.
 *
 * @throws UnusableTransactionError if `tx` is not the client of an interactive transaction, or the transaction has ended
 * @example
 * await prisma.$transaction(async (tx) => {
 *   await inbox.send(reserveStock, message, { tx: fromPrisma(tx) });
 * });
 */
export function fromPrisma(tx: PrismaTransaction): SqlClient {
  const { $queryRawUnsafe, $connect } = (tx ?? {}) as Partial<PrismaTransaction>;
  if (typeof $queryRawUnsafe !== 'function' || $connect !== undefined) {
    throw new UnusableTransactionError(
      'fromPrisma needs an interactive transaction, because a PrismaClient may run each statement on another connection: ' +
        'pass the tx that prisma.$transaction(async (tx) => …) gives',
    );
  }
  return {
    async query(text, values) {
      try {
        return { rows: (await tx.$queryRawUnsafe(text, ...(values as string[]))) as unknown[] };
      } catch (error) {
        if ((error as { code?: unknown } | null)?.code !== TRANSACTION_CLOSED) throw error;
        throw new UnusableTransactionError(
          'the transaction of Prisma has ended or timed out: await the send inside the function that is passed to ' +
            'prisma.$transaction()',
          { cause: error },
        );
      }
    },
  };
}
