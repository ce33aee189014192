/**
 * What the tests of the adapters need from each library.
 *
 * @module
 */
import type { SqlClient } from '../../../src/core/sql-client.ts';

/** An open transaction of a library. */
export interface LibraryTransaction {
  /** The client that the adapter makes of it. */
  client: SqlClient;
  /** The library's own object, which `inbox.send` refuses unless it is a `pg` client. */
  raw: unknown;
  /** Inserts a row with the library itself. */
  writeOrder: (id: string) => Promise<unknown>;
  /** Runs the work inside a savepoint, which is rolled back if the work fails. Not every library has savepoints. */
  nested?: (work: (inner: LibraryTransaction) => Promise<void>) => Promise<void>;
}

/** A library that is connected to the test's database. */
export interface Library {
  /** Commits if the work resolves; otherwise rolls back and rejects with the error. */
  transaction: (work: (tx: LibraryTransaction) => Promise<void>) => Promise<void>;
  /** Arguments that are not a transaction: each call must throw. */
  wrongArguments: Record<string, () => unknown>;
  /** Objects whose statements run outside of any transaction. `inbox.send` must refuse them as `tx`. */
  notTransactions: Record<string, unknown>;
  end: () => Promise<unknown>;
}

/**
 * `unusual`: the library is configured to return other types and other column names, as some of its users do.
 */
export type Settings = 'usual' | 'unusual';

export interface LibraryRow {
  open: (url: string, settings: Settings) => Promise<Library>;
  savepoints: boolean;
  /** How a send fails after the end of the transaction. Null if it does not, because the library does not know that it has ended. */
  afterEnd: { name: string; message: RegExp } | null;
}

/** The error that the adapters themselves throw after the end of a transaction. */
export const ENDED = { name: 'UnusableTransactionError', message: /ended/ };

/** A row with other column names. */
export const upperCased = (row: object) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value as unknown]));
