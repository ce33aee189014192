/**
 * Drizzle, on node-postgres and on postgres.js.
 *
 * @module
 */
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres';
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js';
import { Pool } from 'pg';
import { fromDrizzle } from '../../../src/adapters/index.ts';
import { ENDED } from './library.ts';
import type { Library, LibraryRow, LibraryTransaction } from './library.ts';
import { pgConfig } from './pg.ts';
import { connectPostgresJs } from './postgres-js.ts';

type DrizzleDatabase = Pick<ReturnType<typeof drizzleOnPg>, 'transaction'>;
type DrizzleTx = Parameters<Parameters<DrizzleDatabase['transaction']>[0]>[0];

function openDrizzle(db: DrizzleDatabase, end: () => Promise<void>): Library {
  const wrap = (tx: DrizzleTx): LibraryTransaction => ({
    client: fromDrizzle(tx),
    raw: tx,
    writeOrder: (id) => tx.execute(drizzleSql`insert into orders (id) values (${id})`),
    nested: (work) => tx.transaction((inner) => work(wrap(inner))),
  });
  return {
    transaction: (work) => db.transaction((tx) => work(wrap(tx))),
    wrongArguments: {
      'a database object': () => fromDrizzle(db as never),
      nothing: () => fromDrizzle(undefined as never),
    },
    notTransactions: { 'a database object': db },
    end,
  };
}

export const drizzleOnNodePostgres: LibraryRow = {
  async open(url, settings) {
    const pool = new Pool(pgConfig(url, settings));
    return openDrizzle(drizzleOnPg(pool, { casing: 'snake_case' }), () => pool.end());
  },
  savepoints: true,
  afterEnd: ENDED,
};

export const drizzleOnPostgres: LibraryRow = {
  async open(url, settings) {
    const sql = connectPostgresJs(url, settings);
    return openDrizzle(drizzleOnPostgresJs(sql) as unknown as DrizzleDatabase, () => sql.end());
  },
  savepoints: true,
  afterEnd: null,
};
