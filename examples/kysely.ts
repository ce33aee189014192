/** Sends a command in a transaction of Kysely, and uses Kysely in the handler. */
import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { defineCommand } from 'temporal-inbox';
import { fromKysely } from 'temporal-inbox/adapters';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

interface Tables {
  kysely_orders: { id: string; state: string };
}

const payOrder = defineCommand({
  type: 'PayOrder',
  schema: z.object({ id: z.string() }),
  async handle({ payload: { id }, tx }) {
    const pool = { connect: async () => tx.client, end: async () => {} };
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    await db.updateTable('kysely_orders').set({ state: 'paid' }).where('id', '=', id).execute();
  },
});

await withWorker([payOrder], async ({ pool, inbox }) => {
  await pool.query('create table if not exists kysely_orders (id text primary key, state text)');
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const id = randomUUID();
  const message = { messageId: `pay-${id}`, payload: { id } };
  await db.transaction().execute(async (trx) => {
    await inbox.send(payOrder, message, { tx: fromKysely(trx) });
    await trx.insertInto('kysely_orders').values({ id, state: 'new' }).execute();
  });
  await inbox.execute(payOrder, message);
  const { state } = await db
    .selectFrom('kysely_orders')
    .select('state')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  console.log(state); // paid
});
