/**
 * Connections, transactions and what Postgres's error codes mean.
 *
 * @module
 */
import { Client, DatabaseError, Pool } from 'pg';
import type { ClientBase, PoolClient, PoolConfig, QueryConfig, QueryResult } from 'pg';
import { adoptPool, prepareSession } from './connection.ts';
import { beginOf, isPooled } from './connection-state.ts';
import { SEND_SETTINGS, SEND_TRANSACTION_LIMITS, STARTUP_SETTINGS } from './connection-settings.ts';
import type { PinnedSettings } from './connection-settings.ts';
import type { Queryable } from './queryable.ts';
import { isDatabaseUnavailable, isServerFull } from './postgres-errors.ts';
import { noteConnection, prepareOn } from './prepared-statements.ts';

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
  /** Connections that stay open when idle. Default 0. */
  min?: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  /**
   * Postgres settings that hold for every statement on this pool, whatever the URL, the role or the database says. On a
   * connection to Postgres itself they are the session's; behind a pooler they are set in each transaction.
   */
  settings?: PinnedSettings;
  /**
   * transaction: the settings hold in the transactions that {@link beginOf} opens, and the session is left as it is, because
   * a handler's statements run there. Default session.
   */
  settingsFor?: 'session' | 'transaction';
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
 * It works behind a pooler in any mode: no startup parameter is sent that poolers refuse, and nothing is set in a session that
 * belongs to a pooler.
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
    // A peer that vanished without a word is found by TCP itself.
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
    // The pool waits for it, which its types do not say.
    // oxlint-disable-next-line typescript/no-misused-promises
    config.onConnect = prepare;
  }
  const pool = new Pool(config);
  // An error of a connection that is not running a statement has nobody to go to, idle or checked out: without a
  // listener it would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    ready.add(client);
    client.on('error', () => {});
    noteConnection(pool, client);
  });
  pool.on('remove', (client) => ready.delete(client));
  if (settings && settingsFor === 'session') pool.query = queryOf(pool);
  return pool;
}

/** pg sends no client_encoding by itself. */
class InboxClient extends Client {
  getStartupConf(): Record<string, string> {
    const plain = Client.prototype as unknown as { getStartupConf: (this: Client) => Record<string, string> };
    return { ...plain.getStartupConf.call(this), ...STARTUP_SETTINGS };
  }
}

const maximums = new WeakMap<Pool, number>();
const LOWERED_FOR_MS = 30_000;

/**
 * The server, or the pooler, gives no more connections. Until it may have some again, work waits for those that exist instead
 * of asking for new ones.
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
 * A connection of the pool that Postgres has answered on. Where the server has no room for another one, waits for one of those
 * that exist.
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
 * A pool of the caller's, for statements that a URL, a role or a database must not change: single ones run as they are, or, where
 * the pool's sessions have other settings, in a transaction that has the right ones. Where no pooler is in between, its connections
 * prepare.
 */
export async function adopt(pool: Pool): Promise<Queryable> {
  const client = await checkOut(pool);
  try {
    const { pooled, differs } = await adoptPool(pool, client, SEND_SETTINGS, SEND_TRANSACTION_LIMITS);
    // Inserts have no plan that could become a bad one, so there is no need to wait until the table is large.
    if (!pooled && !differs) prepareOn(pool);
    if (!differs) return pool;
  } finally {
    checkIn(client);
  }
  const query = (statement: string | QueryConfig, values?: unknown[]) =>
    withTransaction(pool, (tx) => tx.query(statement, values));
  return { query: query as Pool['query'] };
}

/** One statement: as it is where the session has the settings, else in a transaction that has them, in one round trip. */
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

/** Its server connection changes, and what was prepared stays behind. */
function unnamed(statement: string | QueryConfig): string | QueryConfig {
  if (typeof statement === 'string') return statement;
  const { name: _, ...rest } = statement;
  return rest;
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
 * A connection that breaks fails its statements and raises an event as well. The pool listens to those that are idle; nobody
 * listens to those of a caller's pool that are in use, and then the event would end the process.
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
 * A connection with a transaction begun. If the server has ended idle connections and the pool does not know yet, BEGIN fails on
 * them; nothing was done then, so the next connection is tried.
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
 * Commits, and checks that it did: Postgres answers COMMIT of a failed transaction with ROLLBACK and no error.
 *
 * @param then - statements that are sent in the same message, such as those of `resetSession`
 * @throws RolledBackError
 */
export async function commit(client: Pick<PoolClient, 'query'>, then?: string): Promise<void> {
  const answer = (await client.query(then ? `commit; ${then}` : 'commit')) as QueryResult | QueryResult[];
  const [first] = Array.isArray(answer) ? answer : [answer];
  if (first?.command !== 'COMMIT') throw new RolledBackError();
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
