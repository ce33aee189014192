/**
 * The client of a sender's own transaction. This file imports nothing, so that the types of `temporal-inbox/adapters` need no
 * other package.
 *
 * @module
 */

/**
 * The part of a client that sends use: `query` of `pg`, or what an adapter makes of another library's transaction.
 *
 * @example
 * const tx: SqlClient = { query: (text, values) => client.query(text, values) };
 */
export interface SqlClient {
  /**
   * Runs one statement in the transaction. The statements have Postgres's placeholders (`$1`), and all values are text. Each
   * row has one column, which must be returned as text.
   */
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}
