/**
 * An object that looks like a `pg` client but can only `query`.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import type { Transaction } from '../commands/define-command.ts';
import { InboxError } from '../core/errors.ts';

export function clientFacade(query: (...args: unknown[]) => unknown): Transaction {
  return new ClientFacade(query) as unknown as Transaction;
}

/**
 * Drizzle and Knex only need `query`; Kysely also needs `release`. For an ORM that wants a pool, `connect` returns the
 * facade itself. The facade does not inherit from a real client, because an ORM could then do harm by calling its other
 * methods. It is not a plain object either, which Drizzle would treat as its configuration.
 */
class ClientFacade {
  readonly query: (...args: unknown[]) => unknown;

  constructor(query: (...args: unknown[]) => unknown) {
    // TypeORM passes true to its query runners. It would take the answer of `pg` for an empty result.
    this.query = (...args) => (args[2] === true ? Promise.reject(cannotTakePart()) : query(...args));
  }

  get client(): PoolClient {
    return this as unknown as PoolClient;
  }

  async connect(): Promise<this> {
    return this;
  }

  release(): void {}

  async end(): Promise<void> {}

  on(): this {
    return this;
  }

  once(): this {
    return this;
  }

  off(): this {
    return this;
  }

  addListener(): this {
    return this;
  }

  removeListener(): this {
    return this;
  }
}

/**
 * The properties that libraries which cannot use the facade read first:
 *
 * - `pg` and postgres.js read `password` of what they take for a connection's configuration. Prisma's adapter, for example,
 *   treats any object as a configuration unless it is a pool of the adapter's own copy of pg. It would then open another
 *   connection, outside of the transaction.
 * - Drizzle reads `options` of what it takes for a client of postgres.js.
 * - TypeORM reads the others of what it takes for a query runner.
 */
for (const property of ['password', 'options', 'broadcaster', 'data', 'isReleased']) {
  Object.defineProperty(ClientFacade.prototype, property, {
    get() {
      throw cannotTakePart();
    },
  });
}

function cannotTakePart(): InboxError {
  return new InboxError(
    'tx.client is the connection of one attempt and cannot be used as the configuration of a pool or a client. Prisma, ' +
      'TypeORM and postgres.js open their own connections, which cannot take part in its transaction: use tx.query, or ' +
      'Drizzle, Knex or Kysely',
  );
}
