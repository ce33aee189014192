/** Sends a command and waits for its result. A refusal is a result; a dead letter is an error. */
import { randomUUID } from 'node:crypto';
import { DeadLetterError, defineCommand, UnrecoverableError } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const stock: Record<string, number> = { tea: 1 };

const buy = defineCommand({
  type: 'Buy',
  schema: z.object({ sku: z.string(), quantity: z.int().positive() }),
  handle({ payload: { sku, quantity } }) {
    const free = stock[sku];
    // Only a person can fix this, by adding the product: a dead letter.
    if (free === undefined) throw new UnrecoverableError('UnknownProduct', { sku });
    // Nothing to fix; the customer gets this answer: a result.
    return quantity > free ? { bought: false, reason: 'sold-out' } : { bought: true };
  },
});

await withWorker([buy], async ({ inbox }) => {
  const order = (sku: string, quantity: number) =>
    inbox.execute(buy, { messageId: randomUUID(), payload: { sku, quantity } }, { timeoutMs: 60_000 });
  console.log(await order('tea', 1)); // { bought: true }
  console.log(await order('tea', 2)); // { bought: false, reason: 'sold-out' }
  await order('gold', 1).catch((error: unknown) => {
    if (error instanceof DeadLetterError) console.log(error.error); // UnknownProduct: sku=gold
  });
});
