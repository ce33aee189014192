/**
 * Connections, transactions and the meaning of Postgres's error codes.
 *
 * @module
 */
import { Client, DatabaseError, Pool } from 'pg';
import type { ClientBase, PoolClient, PoolConfig, QueryConfig, QueryResult } from 'pg';
import { inspectCallersPool, prepareSession } from './connection.ts';
import { beginOf, isPooled } from './connection-state.ts';
import { SEND_SETTINGS, SEND_TRANSACTION_LIMITS, STARTUP_SETTINGS } from './connection-settings.ts';
import type { PinnedSettings } from './connection-settings.ts';
import type { Queryable } from './queryable.ts';
import { isDatabaseUnavailable, isServerFull } from './postgres-errors.ts';
import { prepareOn, rememberPool } from './prepared-statements.ts';

/** Postgres answered COMMIT with ROLLBACK because an earlier statement had failed. Nothing was stored. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError';

  constructor() {
    super('Postgres rolled the transaction back at COMMIT because a statement in it had failed');
  }
}

export interface PoolOptions {
  connectionString: string;
  /** Maximum number of connections. */
  max: number;
  /** Connections that stay open when idle. Default 0. */
  min?: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  /**
   * Postgres settings for every statement on this pool, no matter what the URL, the role or the database sets. On a direct
   * connection to Postgres they are set for the session; behind a pooler they are set in each transaction.
   */
  settings?: PinnedSettings;
  /**
   * transaction: the settings apply only to transactions begun with {@link beginOf}. The session itself is not changed,
   * because a handler's statements run in it. Default session.
   */
  settingsFor?: 'session' | 'transaction';
  /** The client's own limit for one statement, in ms. It also ends a wait for a network that no longer answers. */
  queryTimeoutMs?: number;
  /** How long to wait for a connection, in ms. Default 10 s. */
  connectTimeoutMs?: number;
  /** Sends statements without waiting for the answers to previous ones. Cursors do not work then. */
  pipeline?: boolean;
}

/** How long to wait for a connection from the pool or the server before Postgres counts as unavailable. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * A pool whose idle connections may break without ending the process: the next statement fails instead.
 *
 * It works behind a pooler in any mode: it sends no startup parameter that poolers refuse, and sets nothing in a session
 * that belongs to a pooler.
 */
export function createPool(options: PoolOptions): Pool {
  const connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const config: PoolConfig = {
    connectionString: options.connectionString,
    max: options.max,
    min: options.min ?? 0,
    application_name: options.applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 30_000,
    // TCP itself detects a peer that has disappeared.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    Client: InboxClient,
  };
  if (options.pipeline) config.pipeline = true;
  if (options.queryTimeoutMs !== undefined) config.query_timeout = options.queryTimeoutMs;
  const { settings, settingsFor = 'session' } = options;
  const ready = new Set<ClientBase>();
  if (settings) {
    const prepare = async (client: ClientBase) => {
      try {
        await prepareSession(client, settings, settingsFor, connectTimeoutMs / 2);
      } catch (error) {
        if (isServerFull(error)) lowerMaximum(pool, ready.size);
        throw error;
      }
    };
    // The pool awaits the returned promise, but its types do not say so.
    // oxlint-disable-next-line typescript/no-misused-promises
    config.onConnect = prepare;
  }
  const pool = new Pool(config);
  // A connection that is not running a statement, idle or checked out, reports errors as events. Without a listener, such an
  // event would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    ready.add(client);
    client.on('error', () => {});
    rememberPool(pool, client);
  });
  pool.on('remove', (client) => ready.delete(client));
  if (settings && settingsFor === 'session') pool.query = queryOf(pool);
  return pool;
}

/** pg does not send client_encoding on its own. */
class InboxClient extends Client {
  getStartupConf(): Record<string, string> {
    const plain = Client.prototype as unknown as { getStartupConf: (this: Client) => Record<string, string> };
    return { ...plain.getStartupConf.call(this), ...STARTUP_SETTINGS };
  }
}

const maximums = new WeakMap<Pool, number>();
const LOWERED_FOR_MS = 30_000;

/**
 * The server or the pooler accepts no more connections. Until it may accept some again, work waits for existing connections
 * instead of opening new ones.
 */
function lowerMaximum(pool: Pool, existing: number): void {
  if (existing === 0 || existing >= pool.options.max) return;
  if (!maximums.has(pool)) {
    const maximum = pool.options.max;
    maximums.set(pool, maximum);
    setTimeout(() => {
      pool.options.max = maximum;
      maximums.delete(pool);
    }, LOWERED_FOR_MS).unref();
  }
  pool.options.max = existing;
}

/**
 * Takes a connection from the pool. If the server cannot accept another one, waits until an existing connection is free.
 */
export async function acquire(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (!isServerFull(error)) throw error;
    lowerMaximum(pool, pool.totalCount);
    if (pool.totalCount === 0) throw error;
    return pool.connect();
  }
}

/**
 * Wraps a caller's pool so that a URL, a role or a database cannot change the inbox's statements. If the pool's sessions
 * already have the right settings, single statements run directly; otherwise each runs in a transaction with these settings.
 * Without a pooler, the pool's connections use prepared statements.
 */
export async function withSendSettings(pool: Pool): Promise<Queryable> {
  const client = await checkOut(pool);
  try {
    const { pooled, differs } = await inspectCallersPool(
      pool,
      client,
      SEND_SETTINGS,
      SEND_TRANSACTION_LIMITS,
    );
    // The plan of an INSERT cannot become a bad one, so it need not be made again for a large table.
    if (!pooled && !differs) prepareOn(pool);
    if (!differs) return pool;
  } finally {
    checkIn(client);
  }
  const query = (statement: string | QueryConfig, values?: unknown[]) =>
    withTransaction(pool, (tx) => tx.query(statement, values));
  return { query: query as Pool['query'] };
}

/**
 * Runs one statement: directly if the session has the settings, otherwise in a transaction that sets them, in one round
 * trip.
 */
function queryOf(pool: Pool): Pool['query'] {
  const query = async (statement: string | QueryConfig, values?: unknown[]) => {
    const client = await acquire(pool);
    let broken: Error | undefined;
    try {
      return await (isPooled(client)
        ? queryInTransaction(client, unnamed(statement), values)
        : client.query(statement, values));
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  };
  return query as Pool['query'];
}

async function queryInTransaction(
  client: PoolClient,
  statement: string | QueryConfig,
  values: unknown[] | undefined,
): Promise<QueryResult> {
  const [, result] = await together(client, () =>
    Promise.all([client.query(beginOf(client)), client.query(statement, values), commit(client)]),
  );
  return result;
}

/**
 * The statement without its name: behind a pooler the server connection changes, so a prepared statement would be missing.
 */
function unnamed(statement: string | QueryConfig): string | QueryConfig {
  if (typeof statement === 'string') return statement;
  const { name: _, ...rest } = statement;
  return rest;
}

/**
 * Sends several statements in one write to the socket. Each write costs about as much as the work of a small statement.
 * Works only on connections that pipeline.
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
 * @throws RolledBackError if the answer to COMMIT is not COMMIT; anything that `work` throws, after ROLLBACK
 */
export async function withTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await begin(pool);
  let broken: Error | undefined;
  try {
    const result = await work(client);
    await commit(client);
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw error;
  } finally {
    checkIn(client, broken);
  }
}

/**
 * When a connection breaks, its statements fail and it emits an error event. The pool listens for that event on idle
 * connections. A caller's connections that are in use have no listener, and an event without a listener would end the
 * process.
 */
const ignoreError = () => {};

async function checkOut(pool: Pool): Promise<PoolClient> {
  const client = await acquire(pool);
  client.on('error', ignoreError);
  return client;
}

/** @param broken - why the pool must not use the connection again */
function checkIn(client: PoolClient, broken?: Error): void {
  client.release(broken);
  client.off('error', ignoreError);
}

/**
 * Takes a connection and begins a transaction. If the server has closed idle connections and the pool has not noticed yet,
 * BEGIN fails on them. Nothing has been done at that point, so the next connection is tried.
 */
async function begin(pool: Pool): Promise<PoolClient> {
  for (let idle = pool.idleCount; ; idle -= 1) {
    const client = await checkOut(pool);
    try {
      await client.query(beginOf(client, pool));
      return client;
    } catch (error) {
      checkIn(client, error as Error);
      if (idle <= 0 || !isDatabaseUnavailable(error)) throw error;
    }
  }
}

/**
 * Commits and checks the answer: Postgres answers COMMIT of a failed transaction with ROLLBACK, without an error.
 *
 * @param then - statements to send in the same message, such as those of `resetSession`
 * @throws RolledBackError if the answer is not COMMIT
 */
export async function commit(client: Pick<PoolClient, 'query'>, then?: string): Promise<void> {
  const answer = (await client.query(then ? `commit; ${then}` : 'commit')) as QueryResult | QueryResult[];
  const [first] = Array.isArray(answer) ? answer : [answer];
  if (first?.command !== 'COMMIT') throw new RolledBackError();
}

/**
 * The SQLSTATE of an error that came from Postgres, otherwise null.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function sqlState(error: unknown): string | null {
  return error instanceof DatabaseError && error.code ? error.code : null;
}

/** `lock_timeout` expired, or NOWAIT found the row locked. */
export const LOCK_NOT_AVAILABLE = '55P03';

export function isLockNotAvailable(error: unknown): boolean {
  return sqlState(error) === LOCK_NOT_AVAILABLE;
}

/** Two transactions waited for each other, and Postgres ended this one. */
export function isDeadlock(error: unknown): boolean {
  return sqlState(error) === '40P01';
}

/** An earlier statement of this transaction failed, so Postgres refuses all further statements. */
export const TRANSACTION_ABORTED = '25P02';

export function isTransactionAborted(error: unknown): boolean {
  return sqlState(error) === TRANSACTION_ABORTED;
}

/** A table that a statement names does not exist, or its schema does not exist. */
export function isUndefinedTable(error: unknown): boolean {
  return ['42P01', '3F000'].includes(sqlState(error) ?? '');
}

/** The login lacks a privilege. */
export function isPermissionDenied(error: unknown): boolean {
  return sqlState(error) === '42501';
}

/** The name of the CHECK constraint that refused the row; null for any other error. */
export function violatedCheck(error: unknown): string | null {
  return error instanceof DatabaseError && error.code === '23514' ? (error.constraint ?? '') : null;
}
