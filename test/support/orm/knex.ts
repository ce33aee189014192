/**
 * Knex.
 *
 * @module
 */
import knexFactory from 'knex';
import type { Knex } from 'knex';
import { fromKnex } from '../../../src/adapters/index.ts';
import { ENDED, upperCased } from './library.ts';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';
import { MAX_CONNECTIONS, pgConfig } from './pg.ts';

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

export const knex: LibraryRow = { open: openKnex, savepoints: true, afterEnd: ENDED };
