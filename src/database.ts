/**
 * Connections, transactions and what Postgres's error codes mean.
 *
 * @module
 */
import { DatabaseError, Pool } from 'pg';
import type { PoolClient, PoolConfig } from 'pg';
import { noteConnection } from './prepared.ts';

/** Whatever runs a statement: a pool, a client, or a client inside a transaction. */
export type Queryable = Pick<Pool, 'query'>;

/** The answer to COMMIT was ROLLBACK: a statement had failed before, and nothing was kept. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError';

  constructor() {
    super('Postgres rolled the transaction back at COMMIT, because a statement in it had failed');
  }
}

export interface PoolOptions {
  connectionString: string;
  /** Connections at most. */
  max: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  /** Settings for each connection, such as `{ synchronous_commit: 'off' }`. */
  settings?: Record<string, string>;
  /** The client's own limit for one statement, in ms: it also ends waiting on a network that went silent. */
  queryTimeoutMs?: number;
  /** How long to wait for a connection, in ms. Default 10 s. */
  connectTimeoutMs?: number;
  /** Statements are sent without waiting for the answers of those before. Cursors do not work then. */
  pipeline?: boolean;
}

/** How long to wait for a connection, from the pool or from the server, before it counts as unavailable. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * A pool whose idle connections may break without ending the process: the next statement finds out.
 *
 * `settings` travel in the startup packet, so they cost no round trip and hold from the first statement on.
 */
export function createPool(options: PoolOptions): Pool {
  const config: PoolConfig = {
    connectionString: options.connectionString,
    max: options.max,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    // A peer that vanished without a word is found by TCP itself.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
  if (options.pipeline) config.pipeline = true;
  if (options.queryTimeoutMs !== undefined) config.query_timeout = options.queryTimeoutMs;
  if (options.settings) {
    config.options = Object.entries(options.settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' ');
  }
  const pool = new Pool(config);
  // An error of a connection that is not running a statement has nobody to go to, idle or checked out: without a
  // listener it would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
    noteConnection(pool, client);
  });
  return pool;
}

/**
 * Statements that leave together: one write to the socket, where each costs about as much as the work of a small
 * statement. Only on connections that pipeline.
 */
export function together<T>(client: PoolClient, send: () => T): T {
  const { stream } = client.connection;
  stream.cork();
  try {
    return send();
  } finally {
    stream.uncork();
  }
}

/**
 * Runs `work` in one transaction and commits it.
 *
 * @throws RolledBackError when the answer to COMMIT is not COMMIT; anything `work` throws, after ROLLBACK.
 */
export async function withTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await commit(client);
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Commits, and checks that it did: Postgres answers COMMIT of a failed transaction with ROLLBACK and no error.
 *
 * @throws RolledBackError
 */
export async function commit(client: Pick<PoolClient, 'query'>): Promise<void> {
  const answer = await client.query('commit');
  if (answer.command !== 'COMMIT') throw new RolledBackError();
}

/** The SQLSTATE of an error that came from Postgres, else null. Source: https://www.postgresql.org/docs/current/errcodes-appendix.html */
export function sqlState(error: unknown): string | null {
  return error instanceof DatabaseError && error.code ? error.code : null;
}

/** `lock_timeout` ran out, or NOWAIT found the row locked. */
export function isLockNotAvailable(error: unknown): boolean {
  return sqlState(error) === '55P03';
}

/** Two transactions waited for each other; Postgres ended this one so that the other could go on. */
export function isDeadlock(error: unknown): boolean {
  return sqlState(error) === '40P01';
}

/** An earlier statement of this transaction failed, so that Postgres refuses all others. */
export function isTransactionAborted(error: unknown): boolean {
  return sqlState(error) === '25P02';
}

/** A table that a statement names is not there, or not even its schema. */
export function isUndefinedTable(error: unknown): boolean {
  return ['42P01', '3F000'].includes(sqlState(error) ?? '');
}

/** The login may not do this. */
export function isPermissionDenied(error: unknown): boolean {
  return sqlState(error) === '42501';
}

/** A CHECK constraint refused the row; its name tells which. */
export function violatedCheck(error: unknown): string | null {
  return error instanceof DatabaseError && error.code === '23514' ? (error.constraint ?? '') : null;
}
