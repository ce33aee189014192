/**
 * A database, an inbox and a library that sends in its own transactions.
 *
 * @module
 */
import type { Json } from '../../../src/core/json.ts';
import type { Message, Sent } from '../../../src/commands/message.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { rows } from '../rows.ts';
import type { TestDatabase } from '../database.ts';
import { createTestDatabase } from '../database.ts';
import type { Library, LibraryRow, LibraryTransaction } from './library.ts';

export const CHANGED_MIND = new Error('the customer has changed their mind');

export class SendingFixture {
  database!: TestDatabase;
  inbox!: Inbox;
  library!: Library;

  constructor(readonly row: LibraryRow) {}

  async open(): Promise<void> {
    this.database = await createTestDatabase();
    // Prisma names the schema.
    await this.database.pool.query('create table public.orders (id text primary key)');
    this.inbox = await createInbox({ pool: this.database.pool });
    this.library = await this.row.open(this.database.url, 'usual');
  }

  async close(): Promise<void> {
    await this.library.end();
    await this.inbox.close();
    await this.database.drop();
  }

  send({ client }: LibraryTransaction, id: string, payload?: Json): Promise<Sent> {
    return this.inbox.send(reserveStock(id, payload), { tx: client });
  }

  async hasOrder(id: string): Promise<boolean> {
    return (await rows(this.database.pool, 'select from orders where id = $1', [id])).length > 0;
  }

  async isStored(id: string): Promise<boolean> {
    return (await this.inbox.status(id)) !== null;
  }
}

export function reserveStock(messageId: string, payload: Json = { sku: 'tea' }): Message {
  return { messageId, type: 'ReserveStock', payload, metadata: { by: 'test' }, correlationId: 'flow' };
}
