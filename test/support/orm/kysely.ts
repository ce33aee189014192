/**
 * Kysely, with both kinds of its transactions.
 *
 * @module
 */
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import type { ControlledTransaction } from 'kysely';
import { Pool } from 'pg';
import { fromKysely } from '../../../src/adapters/index.ts';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';
import { pgConfig } from './pg.ts';

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

const afterEnd = { name: 'Error', message: /already rolled back/ };

export const kysely: LibraryRow = { open: openKyselyCallback, savepoints: false, afterEnd };
export const kyselyWithSavepoints: LibraryRow = { open: openKysely, savepoints: true, afterEnd };
