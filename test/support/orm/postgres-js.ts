/**
 * postgres.js.
 *
 * @module
 */
import postgres from 'postgres';
import { fromPostgresJs } from '../../../src/adapters/index.ts';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';
import { MAX_CONNECTIONS } from './pg.ts';

export function connectPostgresJs(url: string, settings: Settings): postgres.Sql {
  const unusual: postgres.Options<Record<string, postgres.PostgresType>> = {
    transform: postgres.pascal,
    types: {
      date: { to: 1184, from: [1082, 1114, 1184], serialize: String, parse: String },
      json: { to: 114, from: [114, 3802], serialize: String, parse: String },
    },
  };
  return postgres(url, {
    max: MAX_CONNECTIONS,
    onnotice: () => {},
    ...((settings === 'unusual' ? unusual : {}) as object),
  });
}

async function openPostgresJs(url: string, settings: Settings): Promise<Library> {
  const pool = connectPostgresJs(url, settings);
  const reserved = await pool.reserve();
  const wrap = (sql: postgres.TransactionSql): LibraryTransaction => ({
    client: fromPostgresJs(sql),
    raw: sql,
    writeOrder: (id) => sql`insert into orders (id) values (${id})`,
    nested: (work) => sql.savepoint((inner) => work(wrap(inner))),
  });
  return {
    transaction: (work) => pool.begin((sql) => work(wrap(sql))),
    wrongArguments: {
      'the sql of a pool': () => fromPostgresJs(pool as never),
      'the sql of a reserved connection': () => fromPostgresJs(reserved as never),
      nothing: () => fromPostgresJs(undefined as never),
    },
    notTransactions: { 'the sql of a pool': pool, 'the sql of a reserved connection': reserved },
    async end() {
      reserved.release();
      await pool.end();
    },
  };
}

export const postgresJs: LibraryRow = { open: openPostgresJs, savepoints: true, afterEnd: null };
