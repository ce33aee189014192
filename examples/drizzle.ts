/** Uses Drizzle in a handler. Its nested transaction is a savepoint: it can fail without failing the attempt. */
import { randomUUID } from 'node:crypto';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const accounts = pgTable('drizzle_accounts', { id: text().primaryKey(), cents: integer().notNull() });

const openAccount = defineCommand({
  type: 'OpenAccount',
  schema: z.object({ id: z.string(), bonusCents: z.int() }),
  async handle({ payload: { id, bonusCents }, tx }) {
    const db = drizzle(tx.client);
    await db.insert(accounts).values({ id, cents: 0 });
    // A bonus that breaks the table's check must not keep the account from being opened.
    await db
      .transaction((nested) => nested.update(accounts).set({ cents: bonusCents }))
      .catch(() => console.log('no bonus')); // no bonus
  },
});

await withWorker([openAccount], async ({ pool, inbox }) => {
  await pool.query(
    'create table if not exists drizzle_accounts (id text primary key, cents integer not null check (cents >= 0))',
  );
  const id = randomUUID();
  await inbox.execute(openAccount, { messageId: id, payload: { id, bonusCents: -5 } });
  console.log(await drizzle(pool).$count(accounts)); // 1
});
