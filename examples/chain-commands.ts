/** A handler sends the next command in its own transaction: it exists if, and only if, this one commits. */
import { randomUUID } from 'node:crypto';
import { defineCommand } from 'temporal-inbox';
import * as operations from 'temporal-inbox/operations';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const schema = z.object({ orderId: z.string() });

const payOrder = defineCommand({
  type: 'PayOrder',
  schema,
  async handle({ payload, send, messageId }) {
    await send(shipOrder, { messageId: `${messageId}-ship`, payload });
  },
});

const shipOrder = defineCommand({
  type: 'ShipOrder',
  schema,
  handle: ({ payload }) => ({ shipped: payload.orderId }),
});

await withWorker([payOrder, shipOrder], async ({ pool, inbox }) => {
  const messageId = `pay-${randomUUID()}`;
  const payload = { orderId: 'order-1' };
  await inbox.execute(payOrder, { messageId, payload });
  // The handler has sent this command already, so `execute` only waits for its result.
  const ship = { messageId: `${messageId}-ship`, payload };
  console.log(await inbox.execute(shipOrder, ship)); // { shipped: 'order-1' }
  const { related } = await operations.show(pool, messageId);
  console.log(related.map(({ commandType, depth }) => `${commandType} ${depth}`)); // [ 'ShipOrder 1' ]
});
