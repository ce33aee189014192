import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import type { Transaction } from 'kysely';
import { createPool } from '../../../src/platform/postgres.ts';
import { IdempotencyConflictError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox.ts';
import type { SqlClient } from '../../../src/core/sql-client.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';

interface Tables {
  orders: { id: string; sku: string };
}

/** The adapter that docs/sending.md shows. */
function sqlClient(trx: Transaction<Tables>): SqlClient {
  return { query: (text, values) => trx.executeQuery(CompiledQuery.raw(text, [...values])) };
}

describe('sending in a Kysely transaction', () => {
  let database: TestDatabase;
  let db: Kysely<Tables>;
  let inbox: Inbox;

  before(async () => {
    database = await createTestDatabase();
    await database.pool.query('create table orders (id text primary key, sku text not null)');
    // Kysely ends the pool that it gets.
    const pool = createPool({ connectionString: database.url, max: 4, applicationName: 'kysely' });
    db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    inbox = await createInbox({ pool: database.pool });
  });
  after(async () => {
    await inbox.close();
    await db.destroy();
    await database.drop();
  });

  const place = (id: string, sku = 'tea', fail = false) =>
    db.transaction().execute(async (trx) => {
      const message = { messageId: id, type: 'ReserveStock', payload: { sku, quantity: 1 } };
      const { answer } = await inbox.send(message, { tx: sqlClient(trx) });
      if (answer === 'accepted') await trx.insertInto('orders').values({ id, sku }).execute();
      if (fail) throw new Error('the customer has changed their mind');
      return answer;
    });
  const orders = (id: string) => db.selectFrom('orders').selectAll().where('id', '=', id).execute();

  it('commits the row and the command together, once', async () => {
    assert.equal(await place('kept'), 'accepted');
    assert.equal(await place('kept'), 'duplicate');
    assert.deepEqual(await orders('kept'), [{ id: 'kept', sku: 'tea' }]);
    const entry = await inbox.status('kept');
    assert.deepEqual([entry?.status, entry?.payload], ['Pending', { sku: 'tea', quantity: 1 }]);
  });

  it('rolls both back', async () => {
    await assert.rejects(place('dropped', 'tea', true), /changed their mind/);
    assert.deepEqual(await orders('dropped'), []);
    assert.equal(await inbox.status('dropped'), null);
  });

  it('throws a conflict, which rolls back earlier statements', async () => {
    await place('conflict');
    await assert.rejects(
      db.transaction().execute(async (trx) => {
        await trx.insertInto('orders').values({ id: 'conflict-2', sku: 'rice' }).execute();
        const message = {
          messageId: 'conflict',
          type: 'ReserveStock',
          payload: { sku: 'rice', quantity: 1 },
        };
        await inbox.send(message, { tx: sqlClient(trx) });
      }),
      IdempotencyConflictError,
    );
    assert.deepEqual(await orders('conflict-2'), []);
  });
});
