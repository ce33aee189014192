/**
 * TypeORM, with both objects that it has for a transaction.
 *
 * @module
 */
import { DataSource } from 'typeorm';
import type { EntityManager } from 'typeorm';
import { fromTypeOrm } from '../../../src/adapters/index.ts';
import { ENDED } from './library.ts';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';
import { INSERT, pgConfig } from './pg.ts';

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

const row = (which: 'manager' | 'queryRunner'): LibraryRow => ({
  open: openTypeOrm(which),
  savepoints: true,
  afterEnd: ENDED,
});

export const typeOrmManager = row('manager');
export const typeOrmQueryRunner = row('queryRunner');
