/**
 * What looks like a client of `pg` and can do nothing but `query`.
 *
 * @module
 */
import type { Transaction } from '../commands/define-command.ts';
import { InboxError } from '../core/errors.ts';

/**
 * Drizzle and Knex need no more than `query`, Kysely `release` as well. Where an ORM wants a pool, `connect` answers with
 * the client itself. An object with `query` as its only property cannot be broken by what an ORM calls beside it; what
 * inherits from a real client can.
 */
export function clientFacade(query: (...args: unknown[]) => unknown): Transaction {
  const facade = {
    query,
    connect: async () => facade,
    release() {},
    async end() {},
    on: () => facade,
    once: () => facade,
    off: () => facade,
    addListener: () => facade,
    removeListener: () => facade,
  };
  // The first thing that `pg` reads of a connection's configuration. Prisma's adapter, for one, takes what is no pool of
  // its own copy of pg for that, and would open another connection, outside of the transaction.
  Object.defineProperty(facade, 'password', {
    get() {
      throw new InboxError(
        'tx is the connection of one attempt and cannot be used as the configuration of a pool or a client. ' +
          'Libraries that open their own connections, such as Prisma, cannot take part in its transaction: use tx.query',
      );
    },
  });
  return facade as unknown as Transaction;
}
