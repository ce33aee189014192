/** The order and the command to reserve its stock are committed together, or not at all. */
import { randomUUID } from 'node:crypto';
import { defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const reserveStock = defineCommand({
  type: 'ReserveStock',
  schema: z.object({ orderId: z.string(), sku: z.string() }),
  handle: ({ payload }) => ({ reserved: payload.sku }),
});

await withWorker([reserveStock], async ({ pool, inbox }) => {
  await pool.query('create table if not exists orders (id text primary key, sku text)');
  const orderId = randomUUID();
  const message = { messageId: `reserve-${orderId}`, payload: { orderId, sku: 'tea' } };

  const client = await pool.connect();
  await client.query('begin');
  const { answer } = await inbox.send(reserveStock, message, { tx: client });
  await client.query('insert into orders values ($1, $2)', [orderId, 'tea']);
  await client.query('commit');
  client.release();
  console.log(answer); // accepted

  // The same message again is a duplicate. `execute` waits for the first one's result.
  console.log(await inbox.execute(reserveStock, message)); // { reserved: 'tea' }
});
