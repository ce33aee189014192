/**
 * The libraries that are installed with the package's other development dependencies. Prisma is in `prisma.ts`.
 *
 * @module
 */
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres';
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js';
import knexFactory from 'knex';
import type { Knex } from 'knex';
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import type { ControlledTransaction } from 'kysely';
import { Pool } from 'pg';
import type { PoolClient, PoolConfig } from 'pg';
import postgres from 'postgres';
import { DataSource } from 'typeorm';
import type { EntityManager } from 'typeorm';
import {
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromPostgresJs,
  fromTypeOrm,
} from '../../../src/adapters/index.ts';
import { ENDED } from './library.ts';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';

const MAX_CONNECTIONS = 4;

/** Unusual: every value is returned as the text that Postgres sends. */
function pgConfig(url: string, settings: Settings): PoolConfig {
  const asText = { getTypeParser: () => String } as unknown as NonNullable<PoolConfig['types']>;
  return { connectionString: url, max: MAX_CONNECTIONS, ...(settings === 'unusual' && { types: asText }) };
}

const INSERT = 'insert into orders (id) values ($1)';
const upperCased = (row: object) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value as unknown]));

async function runInPg(
  client: PoolClient,
  [begin, commit, rollback]: [string, string, string],
  work: (tx: LibraryTransaction) => Promise<void>,
): Promise<void> {
  await client.query(begin);
  try {
    await work({
      client,
      raw: client,
      writeOrder: (id) => client.query(INSERT, [id]),
      nested: (inner) => runInPg(client, ['savepoint s', 'release s', 'rollback to s'], inner),
    });
  } catch (error) {
    await client.query(rollback);
    throw error;
  }
  await client.query(commit);
}

async function openPg(url: string, settings: Settings): Promise<Library> {
  const pool = new Pool(pgConfig(url, settings));
  return {
    async transaction(work) {
      const client = await pool.connect();
      try {
        await runInPg(client, ['begin', 'commit', 'rollback'], work);
      } finally {
        client.release();
      }
    },
    wrongArguments: {},
    notTransactions: { 'a pool': pool },
    end: () => pool.end(),
  };
}

type Tables = { orders: { id: string } };

async function openKysely(url: string, settings: Settings): Promise<Library> {
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new Pool(pgConfig(url, settings)) }),
    plugins: settings === 'unusual' ? [new CamelCasePlugin()] : [],
  });
  const wrap = (trx: ControlledTransaction<Tables, string[]>): LibraryTransaction => ({
    client: fromKysely(trx),
    raw: trx,
    writeOrder: (id) => trx.insertInto('orders').values({ id }).execute(),
    async nested(work) {
      const inner = await trx.savepoint('inner').execute();
      try {
        await work(wrap(inner));
      } catch (error) {
        await inner.rollbackToSavepoint('inner').execute();
        throw error;
      }
    },
  });
  return {
    async transaction(work) {
      const trx = await db.startTransaction().execute();
      try {
        await work(wrap(trx));
        await trx.commit().execute();
      } catch (error) {
        await trx.rollback().execute();
        throw error;
      }
    },
    wrongArguments: {
      'a Kysely instance': () => fromKysely(db as never),
      nothing: () => fromKysely(undefined as never),
    },
    notTransactions: { 'a Kysely instance': db },
    end: () => db.destroy(),
  };
}

/** The usual kind of transaction, which has no savepoints. */
async function openKyselyCallback(url: string, settings: Settings): Promise<Library> {
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new Pool(pgConfig(url, settings)) }),
  });
  return {
    transaction: (work) =>
      db.transaction().execute((trx) =>
        work({
          client: fromKysely(trx),
          raw: trx,
          writeOrder: (id) => trx.insertInto('orders').values({ id }).execute(),
        }),
      ),
    wrongArguments: {},
    notTransactions: {},
    end: () => db.destroy(),
  };
}

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

function postgresJs(url: string, settings: Settings): postgres.Sql {
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
  const pool = postgresJs(url, settings);
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

async function openKnex(url: string, settings: Settings): Promise<Library> {
  const { max: _, ...connection } = pgConfig(url, settings);
  const knex = knexFactory({
    client: 'pg',
    connection: connection as Knex.PgConnectionConfig,
    pool: { min: 0, max: MAX_CONNECTIONS },
    ...(settings === 'unusual' && {
      postProcessResponse: (result: { rows?: object[] }) =>
        result.rows ? { ...result, rows: result.rows.map(upperCased) } : result,
    }),
  });
  const wrap = (trx: Knex.Transaction): LibraryTransaction => ({
    client: fromKnex(trx),
    raw: trx,
    writeOrder: async (id) => trx('orders').insert({ id }),
    nested: (work) => trx.transaction((inner) => work(wrap(inner))),
  });
  return {
    transaction: (work) => knex.transaction((trx) => work(wrap(trx))),
    wrongArguments: {
      'a Knex instance': () => fromKnex(knex as never),
      nothing: () => fromKnex(undefined as never),
    },
    notTransactions: { 'a Knex instance': knex },
    end: () => knex.destroy(),
  };
}

/** @param which - which of the two objects that TypeORM has for a transaction is given to the adapter */
const openTypeOrm = (which: 'manager' | 'queryRunner') => async (url: string, settings: Settings) => {
  const { connectionString: _, ...extra } = pgConfig(url, settings);
  const dataSource = new DataSource({ type: 'postgres', url, extra });
  await dataSource.initialize();
  const idle = dataSource.createQueryRunner();
  const released = dataSource.createQueryRunner();
  await released.release();
  const wrap = (manager: EntityManager): LibraryTransaction => {
    const transaction = which === 'manager' ? manager : manager.queryRunner!;
    return {
      client: fromTypeOrm(transaction),
      raw: transaction,
      writeOrder: (id) => manager.query(INSERT, [id]),
      nested: (work) => manager.transaction((inner) => work(wrap(inner))),
    };
  };
  const library: Library = {
    transaction: (work) => dataSource.transaction((manager) => work(wrap(manager))),
    wrongArguments: {
      'a DataSource': () => fromTypeOrm(dataSource as never),
      'the manager of a DataSource': () => fromTypeOrm(dataSource.manager),
      'a query runner without a transaction': () => fromTypeOrm(idle),
      'the manager of a query runner without a transaction': () => fromTypeOrm(idle.manager),
      'a released query runner': () => fromTypeOrm(released),
      nothing: () => fromTypeOrm(undefined as never),
    },
    notTransactions: {
      'a DataSource': dataSource,
      'the manager of a DataSource': dataSource.manager,
      'a query runner without a transaction': idle,
    },
    async end() {
      await idle.release();
      await dataSource.destroy();
    },
  };
  return library;
};

const KYSELY_ENDED = { name: 'Error', message: /already rolled back/ };

export const LIBRARIES: Record<string, LibraryRow> = {
  'pg itself': { open: openPg, savepoints: true, afterEnd: null },
  Kysely: { open: openKyselyCallback, savepoints: false, afterEnd: KYSELY_ENDED },
  'Kysely with savepoints': { open: openKysely, savepoints: true, afterEnd: KYSELY_ENDED },
  'Drizzle on node-postgres': {
    async open(url, settings) {
      const pool = new Pool(pgConfig(url, settings));
      return openDrizzle(drizzleOnPg(pool, { casing: 'snake_case' }), () => pool.end());
    },
    savepoints: true,
    afterEnd: ENDED,
  },
  'Drizzle on postgres.js': {
    async open(url, settings) {
      const sql = postgresJs(url, settings);
      return openDrizzle(drizzleOnPostgresJs(sql) as unknown as DrizzleDatabase, () => sql.end());
    },
    savepoints: true,
    afterEnd: null,
  },
  'postgres.js': { open: openPostgresJs, savepoints: true, afterEnd: null },
  Knex: { open: openKnex, savepoints: true, afterEnd: ENDED },
  'TypeORM, with an entity manager': { open: openTypeOrm('manager'), savepoints: true, afterEnd: ENDED },
  'TypeORM, with a query runner': { open: openTypeOrm('queryRunner'), savepoints: true, afterEnd: ENDED },
};
