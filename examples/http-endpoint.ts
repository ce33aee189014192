/** Accepts a command over HTTP with an Idempotency-Key: even if the client repeats its request, there is one command. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { defineCommand } from 'temporal-inbox';
import { commandEndpoint, toNodeListener } from 'temporal-inbox/http';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const placeOrder = defineCommand({
  type: 'PlaceOrder',
  schema: z.object({ sku: z.string(), quantity: z.int().positive() }),
  handle: ({ payload: { sku, quantity } }) => ({ reserved: `${quantity} ${sku}` }),
});

await withWorker([placeOrder], async ({ inbox }) => {
  const orders = commandEndpoint({
    inbox,
    command: placeOrder,
    path: '/orders',
    // With several clients, the id must also contain the client: see docs/http.md.
    messageId: (key) => `orders/${key}`,
    wait: 60_000,
  });
  const server = createServer(toNodeListener(orders)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/orders`;

  const key = randomUUID();
  const post = (order: unknown) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(order),
    });
  const first = await post({ sku: 'tea', quantity: 2 });
  const { status, result } = (await first.json()) as Record<string, unknown>;
  console.log(first.status, status, result); // 200 Completed { reserved: '2 tea' }

  const repeat = await post({ sku: 'tea', quantity: 2 });
  console.log(repeat.status, repeat.headers.get('idempotency-replayed')); // 200 true

  const other = await post({ sku: 'tea', quantity: 3 });
  console.log(other.status, other.headers.get('content-type')); // 422 application/problem+json

  const shown = await fetch(new URL(first.headers.get('location')!, url));
  console.log(shown.status, ((await shown.json()) as Record<string, unknown>)['result']); // 200 { reserved: '2 tea' }

  server.close();
  server.closeAllConnections();
});
