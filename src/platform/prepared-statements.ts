/**
 * Statements that a connection prepares once and whose plan it keeps: parsing and planning a statement costs Postgres about
 * as much as running it.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { DatabaseError } from 'pg';
import type { Pool, PoolClient, QueryResult, QueryResultRow } from 'pg';
import { isPooled } from './connection-state.ts';

export interface Statement {
  /**
   * Derived from the text, so that releases that share a connection through a proxy never use one name for two statements.
   */
  readonly name: string;
  readonly text: string;
}

export function statement(text: string): Statement {
  return { name: `inbox_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text };
}

/** A plan is kept as long as its name is used, so a plan made for a small table needs a different name. */
export type TableSize = 'small' | 'large';

/** The pools whose connections prepare statements, with the size of the tables that the plans are made for. */
const preparingPools = new WeakMap<object, TableSize>();
const poolOf = new WeakMap<object, Pool>();

/** Makes {@link run} prepare statements on this pool's connections. Changing the size makes new plans for all of them. */
export function prepareOn(pool: Pool, size: TableSize = 'large'): void {
  preparingPools.set(pool, size);
}

/** Returns true if {@link run} prepares statements on this pool. It stops if preparing does not work there. */
export function isPreparedOn(pool: Pool): boolean {
  return preparingPools.has(pool);
}

/** Records the connection's pool, so that statements on this connection are prepared as well. */
export function rememberPool(pool: Pool, client: PoolClient): void {
  poolOf.set(client, pool);
}

/**
 * The prepared statement is missing or exists already, because a proxy such as PgBouncer before 1.21 gives each transaction
 * another server connection. Or the statement's plan no longer fits the table. In each case, nothing was executed.
 */
const CANNOT_PREPARE = ['26000', '42P05', '0A000'];

/** Runs a statement, prepared if the pool prepares statements. If preparing does not work, the pool stops doing so. */
export async function run<Row extends QueryResultRow>(
  db: Pick<Pool, 'query'>,
  { name, text }: Statement,
  values: unknown[],
): Promise<QueryResult<Row>> {
  const pool = poolOf.get(db) ?? db;
  const size = preparingPools.get(pool);
  // A pooler gives each transaction another server connection. Some poolers prepare on all of them; older ones do not.
  if (size === undefined || isPooled(db)) return db.query<Row>(text, values);
  try {
    return await db.query<Row>({ name: size === 'small' ? `${name}_small` : name, text, values });
  } catch (error) {
    if (!(error instanceof DatabaseError) || !CANNOT_PREPARE.includes(error.code ?? '')) throw error;
    preparingPools.delete(pool);
    // In a transaction all further statements fail, so the caller has to begin a new one.
    if (db !== pool) throw error;
    return db.query<Row>(text, values);
  }
}

/** The server has dropped the prepared statements of this connection, so they must be prepared again. */
export function forgetPrepared(client: PoolClient): void {
  const { connection } = client as unknown as { connection: { parsedStatements: object } };
  connection.parsedStatements = {};
}
