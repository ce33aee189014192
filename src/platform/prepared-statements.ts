/**
 * Statements that a connection prepares once and keeps the plan of: reading and planning one anew costs Postgres about as
 * much as running it.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { DatabaseError } from 'pg';
import type { Pool, PoolClient, QueryResult, QueryResultRow } from 'pg';
import { isPooled } from './connection-state.ts';

export interface Statement {
  /** Of the text, so that releases which share a connection through a proxy never mean two things by one name. */
  readonly name: string;
  readonly text: string;
}

export function statement(text: string): Statement {
  return { name: `inbox_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text };
}

/** A plan is kept for as long as its name is used: one that was made for a small table must go when the table grows. */
export type TableSize = 'small' | 'large';

/** Pools whose connections prepare, and for which size of the tables. */
const preparing = new WeakMap<object, TableSize>();
const poolOf = new WeakMap<object, Pool>();

/** From now on {@link run} prepares on this pool's connections; with another size, all plans are made anew. */
export function prepareOn(pool: Pool, size: TableSize = 'large'): void {
  preparing.set(pool, size);
}

/** Whether {@link run} prepares there: it stops where that turned out not to work. */
export function isPreparedOn(pool: Pool): boolean {
  return preparing.has(pool);
}

/** So that statements on a connection of the pool are prepared, too. */
export function noteConnection(pool: Pool, client: PoolClient): void {
  poolOf.set(client, pool);
}

/**
 * Not there, or there already: between us and Postgres is a proxy that gives each transaction another connection, such as
 * PgBouncer before 1.21. And a plan that no longer fits the table. None of them has done anything.
 */
const CANNOT_PREPARE = ['26000', '42P05', '0A000'];

/** Runs it, prepared where the pool prepares. Where that turns out not to work, the pool stops preparing. */
export async function run<Row extends QueryResultRow>(
  db: Pick<Pool, 'query'>,
  { name, text }: Statement,
  values: unknown[],
): Promise<QueryResult<Row>> {
  const pool = poolOf.get(db) ?? db;
  const size = preparing.get(pool);
  // A pooler gives each transaction another server connection. Some of them prepare on all of them, older ones do not.
  if (size === undefined || isPooled(db)) return db.query<Row>(text, values);
  try {
    return await db.query<Row>({ name: size === 'small' ? `${name}_small` : name, text, values });
  } catch (error) {
    if (!(error instanceof DatabaseError) || !CANNOT_PREPARE.includes(error.code ?? '')) throw error;
    preparing.delete(pool);
    // In a transaction everything after it fails: whoever holds it has to begin anew.
    if (db !== pool) throw error;
    return db.query<Row>(text, values);
  }
}

/** The server has dropped what this connection prepared, so it has to be prepared again. */
export function forgetPrepared(client: PoolClient): void {
  const { connection } = client as unknown as { connection: { parsedStatements: object } };
  connection.parsedStatements = {};
}
