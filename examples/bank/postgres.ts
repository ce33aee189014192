/**
 * The bank's own connections to Postgres, without an ORM.
 *
 * @module
 */
import { DatabaseError, Pool } from 'pg';
import type { PoolClient } from 'pg';
import type { Transaction } from 'temporal-inbox';

/** Runs statements: the transaction of a handler, or a connection of the bank's own. */
export type Queryable = Pick<Transaction, 'query'>;

/** Ends a statement that waits for a lock or for a dead network connection, so that the client gets a 503. */
const STATEMENT_TIMEOUT_MS = 5_000;
/** If a process disappears in the middle of a transaction, Postgres releases its locks after this time. */
const IDLE_TIMEOUT_MS = 10_000;

/** A pool for the database of DATABASE_URL. */
export function createBankPool(applicationName: string, max: number): Pool {
  const connectionString = process.env['DATABASE_URL']?.trim();
  if (!connectionString) {
    throw new Error('DATABASE_URL is not set: set it to the URL of the Postgres database with the inbox');
  }
  const pool = new Pool({
    connectionString,
    max,
    application_name: applicationName,
    connectionTimeoutMillis: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
  });
  // Without a listener, an idle connection that breaks would end the process. The pool replaces it.
  pool.on('error', () => {});
  // Not as connection parameters, because poolers such as PgBouncer refuse those.
  pool.on('connect', (client) => {
    const limits = `set statement_timeout = ${STATEMENT_TIMEOUT_MS}; set idle_in_transaction_session_timeout = ${IDLE_TIMEOUT_MS}`;
    client.query(limits).catch(() => {});
  });
  return pool;
}

const ignore = () => {};

/** Runs `work` in a transaction, which commits if it resolves and is rolled back if it rejects. */
export async function inTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // A connection that breaks while it is in use emits an event, too.
  client.on('error', ignore);
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    const { command } = await client.query('commit');
    // Postgres answers COMMIT with ROLLBACK, and without an error, if a statement had failed before.
    if (command !== 'COMMIT')
      throw new Error('the transaction was rolled back, because a statement had failed');
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => (broken = rollbackError));
    throw error;
  } finally {
    client.off('error', ignore);
    client.release(broken);
  }
}

/** The SQLSTATE of an error from Postgres, or null for any other error. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof DatabaseError ? (error.code ?? null) : null;
}
