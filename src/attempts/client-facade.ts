/**
 * An object that looks like a `pg` client but can only `query`.
 *
 * @module
 */
import type { Transaction } from '../commands/define-command.ts';
import { InboxError } from '../core/errors.ts';

/**
 * Drizzle and Knex only need `query`; Kysely also needs `release`. For an ORM that wants a pool, `connect` returns the
 * facade itself. The facade does not inherit from a real client, because an ORM could then do harm by calling its other
 * methods.
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
  // `password` is the first property that `pg` reads from a connection's configuration. Prisma's adapter, for example,
  // treats any object as a configuration unless it is a pool of the adapter's own copy of pg. It would then open another
  // connection, outside of the transaction.
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
