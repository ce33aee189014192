/**
 * Transactions that a handler or its ORM begins inside the attempt's transaction. Each becomes a savepoint, so that nothing
 * is committed before the inbox commits everything.
 *
 * @module
 */
import { UnrecoverableError } from '../core/errors.ts';
import { FAILURE } from '../core/protocol.ts';
import type { TransactionStatement } from './transaction-control.ts';

/** The statement to run instead of one that begins or ends a transaction. */
export interface Replacement {
  text: string;
  /** Must be called if the statement fails. */
  failed: () => void;
}

/** The inbox refused a statement that begins or ends a transaction. */
export class RefusedStatementError extends UnrecoverableError {}

export class NestedTransactions {
  /** Names of the open savepoints, outermost first. */
  readonly #open: string[] = [];
  #count = 0;

  get depth(): number {
    return this.#open.length;
  }

  /** @throws RefusedStatementError if the statement would end the attempt's transaction or needs what a savepoint cannot do */
  replace(statement: TransactionStatement): Replacement {
    switch (statement.kind) {
      case 'begin':
        if (statement.unsupported !== null) throw unsupported(statement.unsupported);
        return this.#begin();
      case 'commit':
      case 'rollback':
        return this.#end(statement.kind);
      case 'ending':
        throw endsTransactionError(statement.what);
    }
  }

  #begin(): Replacement {
    this.#count += 1;
    const name = `inbox_${this.#count}`;
    this.#open.push(name);
    const failed = () => {
      const at = this.#open.lastIndexOf(name);
      if (at !== -1) this.#open.splice(at, 1);
    };
    return { text: `savepoint ${name}`, failed };
  }

  #end(kind: 'commit' | 'rollback'): Replacement {
    const name = this.#open.pop();
    if (name === undefined) throw endsTransactionError(kind.toUpperCase());
    // If COMMIT fails, the savepoint stays open, because the ORM then rolls back.
    if (kind === 'commit')
      return { text: `release savepoint ${name}`, failed: () => void this.#open.push(name) };
    return { text: `rollback to savepoint ${name}; release savepoint ${name}`, failed: () => {} };
  }
}

export function endsTransactionError(what: string): RefusedStatementError {
  const message =
    `the handler sent ${what}, which would end the attempt's transaction; everything was rolled back. The inbox commits ` +
    'when the handler returns and rolls back when it throws: remove the statement, or send BEGIN before it, so that the ' +
    'two become a savepoint. Send each of them as a separate query';
  return new RefusedStatementError(FAILURE.transactionEnded, {}, { message });
}

function unsupported(clause: string): RefusedStatementError {
  const message =
    `a transaction inside the attempt's transaction is a savepoint, and a savepoint cannot be ${clause}: begin it without ` +
    'that clause';
  return new RefusedStatementError(FAILURE.unsupportedTransaction, {}, { message });
}
