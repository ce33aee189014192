/**
 * An object that looks like a `pg` client but can only `query`.
 *
 * @module
 */
import type { PoolClient } from 'pg';
import type { Transaction } from '../commands/define-command.ts';
import { InboxError } from '../core/errors.ts';

const CANNOT_TAKE_PART =
  'tx.client is the connection of one attempt and cannot be used as the configuration of a pool or a client. Prisma, TypeORM ' +
  'and postgres.js open their own connections, which cannot take part in its transaction: use tx.query, or Drizzle, Knex or ' +
  'Kysely';

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
    this.query = query;
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

  /**
   * The first property that `pg` and postgres.js read from a connection's configuration and that a client does not have.
   * Prisma's adapter, for example, treats any object as a configuration unless it is a pool of the adapter's own copy of pg.
   * It would then open another connection, outside of the transaction.
   */
  get password(): never {
    throw new InboxError(CANNOT_TAKE_PART);
  }

  /** Drizzle reads it if it is to use this client as one of postgres.js. */
  get options(): never {
    throw new InboxError(CANNOT_TAKE_PART);
  }

  /** TypeORM reads it if it is to use this client as a query runner. */
  get isReleased(): never {
    throw new InboxError(CANNOT_TAKE_PART);
  }
}
