/** Endpoints while Postgres is down, served from each framework. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { message } from '../../../src/commands/message.ts';
import { commandEndpoint, webhookEndpoint } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { ask, assertProblem } from '../../support/http.ts';
import { SERVERS } from '../../support/http-servers.ts';
import type { TestHttpServer } from '../../support/http-servers.ts';
import type { Proxy } from '../../support/proxy.ts';
import { startProxy } from '../../support/proxy.ts';
import { rows } from '../../support/rows.ts';

const placeOrder = defineContract({ type: 'PlaceOrder', schema: z.object({ sku: z.string() }) });

for (const [framework, serve] of Object.entries(SERVERS)) {
  describe(`while Postgres is down, endpoints served from ${framework}`, () => {
    let database: TestDatabase;
    let proxy: Proxy;
    let pool: Pool;
    let inbox: Inbox;
    let server: TestHttpServer;
    const lines: string[] = [];

    before(async () => {
      database = await createTestDatabase();
      const url = new URL(database.url);
      proxy = await startProxy(Number(url.port));
      url.hostname = '127.0.0.1';
      url.port = String(proxy.port);
      pool = createPool({ connectionString: url.href, max: 4, applicationName: 'http behind a proxy' });
      inbox = await createInbox({ pool, directUrl: null });
      const log = createLog('debug', (line) => lines.push(line));
      const orders = (wait: number) =>
        commandEndpoint({ inbox, command: placeOrder, messageId: (key) => `orders/${key}`, wait, log });
      server = await serve({
        '/orders': orders(0),
        '/patient': orders(1),
        '/hooks': webhookEndpoint({
          inbox,
          verify: (_body, headers) => ({ deliveryId: headers.get('x-id')! }),
          toMessage: ({ id, body }) =>
            message(placeOrder, { messageId: `hooks/${id}`, payload: body as { sku: string } }),
          log,
        }),
      });
    });
    after(async () => {
      await server.close();
      await inbox.close();
      await pool.end();
      await proxy.close();
      await database.drop();
    });

    const stored = () =>
      rows<{ id: string }>(database.pool, 'select message_id as id from inbox.entries order by message_id');
    const post = (path: string, id: string) =>
      ask(`${server.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': id, 'x-id': id },
        body: '{"sku":"confidential"}',
      });

    it('answer 503 with Retry-After, and accept the same requests later', async () => {
      await proxy.close();
      for (const answer of [
        await post('/orders', 'away'),
        await post('/patient', 'away-patient'),
        await post('/hooks', 'away'),
        await ask(`${server.url}/orders/away`),
      ]) {
        assertProblem(answer, 503, 'unavailable');
        assert.ok(Number(answer.headers.get('retry-after')) > 0);
      }
      assert.deepEqual(await stored(), []);
      const answered = lines.filter((line) => line.includes('answered 503'));
      assert.equal(answered.length, 4);
      assert.ok(answered.every((line) => line.includes('WARN') && line.includes('code=ECONNREFUSED')));
      assert.doesNotMatch(lines.join('\n'), /confidential|orders\/away/);

      proxy = await startProxy(Number(new URL(database.url).port), proxy.port);
      const order = await post('/orders', 'away');
      assert.deepEqual([order.status, order.headers.get('idempotency-replayed')], [202, null]);
      assert.equal((await post('/patient', 'away-patient')).status, 202);
      assert.deepEqual((await post('/hooks', 'away')).body, { answer: 'accepted' });
      assert.deepEqual(await stored(), [
        { id: 'hooks/away' },
        { id: 'orders/away' },
        { id: 'orders/away-patient' },
      ]);
    });
  });
}
