/** Commands over HTTP, served from each framework. A worker handles them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { commandEndpoint, statusBody } from '../../../src/http/index.ts';
import type { HttpHandler } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { ask, assertProblem } from '../../support/http.ts';
import type { Answer } from '../../support/http.ts';
import { SERVERS } from '../../support/http-servers.ts';
import type { TestHttpServer } from '../../support/http-servers.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';
import type { Gate } from '../../support/wait.ts';

const FIVE_MINUTES = 300_000;
const gates = new Map<string, Gate>();

const placeOrder = defineCommand({
  type: 'PlaceOrder',
  schema: z.object({ sku: z.string(), quantity: z.int().positive(), fate: z.string().optional() }),
  retry: { maximumAttempts: 5, initialInterval: '1 hour', maximumInterval: '1 hour' },
  async handle({ payload: { sku, quantity, fate = '' } }) {
    if (fate === 'fail') throw new Error('the stock of the secret warehouse is not reachable');
    if (fate === 'die') throw new UnrecoverableError('SoldOut', { warehouse: 'secret' });
    await gates.get(fate)?.opened;
    return { reserved: `${quantity} ${sku}` };
  },
});
const order = { sku: 'tea', quantity: 2 };
const result = { reserved: '2 tea' };

const isReplay = ({ headers }: Answer) => headers.get('idempotency-replayed') === 'true';
function holdHandler(name: string): Gate {
  const created = gate();
  gates.set(name, created);
  return created;
}

for (const [framework, serve] of Object.entries(SERVERS)) {
  describe(`a command endpoint, served from ${framework}`, () => {
    let inbox: TestInbox;
    let sender: Inbox;
    let server: TestHttpServer;
    /** What `describe` was called for. */
    const described: string[] = [];

    before(async () => {
      inbox = await createTestInbox();
      sender = await createInbox({ pool: inbox.pool });
      const endpoint = (path: string, wait: number): HttpHandler =>
        commandEndpoint({
          inbox: sender,
          command: placeOrder,
          path,
          messageId: (key) => `orders/${key}`,
          wait,
          describe: (entry, key) => {
            described.push(`${path} ${key}`);
            return statusBody(entry, key);
          },
          log: createLog('error', () => {}),
        });
      server = await serve({
        '/orders': endpoint('/orders', 0),
        '/patient': endpoint('/patient', FIVE_MINUTES),
        '/hasty': endpoint('/hasty', 1),
      });
      await inbox.startWorker([placeOrder]);
    });
    after(async () => {
      for (const { open } of gates.values()) open();
      await server.close();
      await sender.close();
      await inbox.close();
    });

    /** Unique to this run, because message_ids are workflow IDs on a shared Temporal server. */
    const key = (name: string) => inbox.id(name);
    const post = (path: string, used: string, body: unknown = order, init: RequestInit = {}) =>
      ask(`${server.url}${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', 'idempotency-key': used },
        ...init,
      });
    const show = (path: string, used: string, method = 'GET') =>
      ask(`${server.url}${path}/${encodeURIComponent(used)}`, { method });
    const shows = (used: string, status: string): Promise<Answer> =>
      eventually(`${used} is ${status}`, async () => {
        const answer = await show('/orders', used);
        return answer.body['status'] === status ? answer : null;
      });
    const stored = (used: string) =>
      rows<{ payload: unknown; attempt: number; status: string }>(
        inbox.pool,
        'select payload, attempt, status from inbox.entries where message_id = $1',
        [`orders/${used}`],
      );
    it('accepts a command, with 202 and the Location of its status', async () => {
      const answer = await post('/orders', key('new'));
      assert.deepEqual([answer.status, isReplay(answer)], [202, false]);
      assert.equal(answer.headers.get('location'), `/orders/${key('new')}`);
      assert.equal(answer.headers.get('content-type'), 'application/json');
      assert.equal(answer.headers.get('cache-control'), 'no-store');
      const { receivedAt, ...body } = answer.body;
      assert.deepEqual(body, { key: key('new'), status: 'Pending' });
      assert.ok(Date.parse(receivedAt as string));

      const { body: completed } = await shows(key('new'), 'Completed');
      assert.ok(
        Date.parse(completed['receivedAt'] as string) <= Date.parse(completed['completedAt'] as string),
      );
      assert.deepEqual(Object.keys(completed), ['key', 'status', 'receivedAt', 'completedAt', 'result']);
      assert.deepEqual(completed['result'], result);
      assert.deepEqual(await stored(key('new')), [{ payload: order, attempt: 1, status: 'Completed' }]);
    });

    it('answers a repeat with 202, the current status and Idempotency-Replayed', async () => {
      await post('/orders', key('again'));
      await shows(key('again'), 'Completed');
      const answer = await post('/orders', key('again'), { quantity: 2, sku: 'tea' });
      assert.deepEqual([answer.status, isReplay(answer)], [202, true]);
      assert.equal(answer.headers.get('location'), `/orders/${key('again')}`);
      assert.deepEqual([answer.body['status'], answer.body['result']], ['Completed', result]);
      assert.deepEqual(await stored(key('again')), [{ payload: order, attempt: 1, status: 'Completed' }]);
    });

    it('refuses a key that is used for another payload', async () => {
      await post('/orders', key('reused'));
      const answer = await post('/orders', key('reused'), { ...order, quantity: 3 });
      assertProblem(answer, 422, 'idempotency-key-reused');
      const [entry] = await stored(key('reused'));
      assert.deepEqual(entry?.payload, order);
    });

    it('accepts exactly one of many requests at once with the same key', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post('/orders', key('crowd'))));
      assert.deepEqual(
        answers.map(({ status }) => status),
        answers.map(() => 202),
      );
      assert.equal(answers.filter((answer) => !isReplay(answer)).length, 1);
      await shows(key('crowd'), 'Completed');
      assert.deepEqual(await stored(key('crowd')), [{ payload: order, attempt: 1, status: 'Completed' }]);
    });

    it('answers 200 with the result if the wait is long enough, also to a repeat', async () => {
      const first = await post('/patient', key('waited'));
      assert.deepEqual([first.status, isReplay(first)], [200, false]);
      assert.equal(first.headers.get('location'), `/patient/${key('waited')}`);
      assert.deepEqual([first.body['status'], first.body['result']], ['Completed', result]);
      const repeated = await post('/patient', key('waited'));
      assert.deepEqual([repeated.status, isReplay(repeated)], [200, true]);
      assert.deepEqual(repeated.body, first.body);
      assert.deepEqual(await stored(key('waited')), [{ payload: order, attempt: 1, status: 'Completed' }]);
    });

    it('answers 202 if the wait is too short, and a repeat gets the result', async () => {
      const held = holdHandler(key('slow'));
      const slow = { ...order, fate: key('slow') };
      const first = await post('/hasty', key('slow'), slow);
      assert.deepEqual([first.status, isReplay(first)], [202, false]);
      assert.ok(
        ['Pending', 'Processing'].includes(first.body['status'] as string),
        JSON.stringify(first.body),
      );
      const repeating = post('/patient', key('slow'), slow);
      held.open();
      const repeated = await repeating;
      assert.deepEqual([repeated.status, isReplay(repeated)], [200, true]);
      assert.deepEqual(repeated.body['result'], result);
    });

    it('ends the wait when the client disconnects, and handles the command anyway', async () => {
      const held = holdHandler(key('gone'));
      const client = new AbortController();
      const { signal } = client;
      const lost = post('/patient', key('gone'), { ...order, fate: key('gone') }, { signal });
      await eventually(
        'the handler runs',
        async () => (await stored(key('gone')))[0]?.status === 'Processing',
      );
      assert.deepEqual(
        described.filter((each) => each.endsWith(key('gone'))),
        [],
      );
      client.abort();
      await assert.rejects(lost, { name: 'AbortError' });
      await eventually('the wait has ended', () => described.includes(`/patient ${key('gone')}`));
      held.open();
      await shows(key('gone'), 'Completed');
    });

    it('shows a dead letter by the type of its error only, also if it is reached during the wait', async () => {
      const answer = await post('/patient', key('dead'), { ...order, fate: 'die' });
      assert.equal(answer.status, 202);
      const { receivedAt: _, ...body } = answer.body;
      assert.deepEqual(body, { key: key('dead'), status: 'DeadLetter', errorType: 'SoldOut' });
      assert.deepEqual((await show('/orders', key('dead'))).body, answer.body);
      assert.equal((await post('/patient', key('dead'), { ...order, fate: 'die' })).status, 202);
      // The stored error has the detail, so the endpoint must leave it out.
      assert.match((await inbox.entry(`orders/${key('dead')}`))!.error!, /secret/);
    });

    it('shows the next retry of a failed command', async () => {
      await post('/orders', key('failed'), { ...order, fate: 'fail' });
      const { body } = await shows(key('failed'), 'Failed');
      assert.deepEqual(Object.keys(body), ['key', 'status', 'receivedAt', 'errorType', 'nextRetryAt']);
      assert.equal(body['errorType'], 'Error');
      assert.ok(Date.parse(body['nextRetryAt'] as string) > Date.now());
    });

    it('answers HEAD with the headers of GET', async () => {
      await post('/patient', key('head'));
      const get = await show('/orders', key('head'));
      const head = await show('/orders', key('head'), 'HEAD');
      assert.deepEqual([head.status, head.body], [200, {}]);
      assert.equal(head.headers.get('content-length'), String(JSON.stringify(get.body).length));
      assert.equal(head.headers.get('content-type'), 'application/json');
      const unknown = await show('/orders', key('unknown'), 'HEAD');
      assert.deepEqual([unknown.status, unknown.body], [404, {}]);
    });

    it('takes keys with and without quotes, and with any visible ASCII character', async () => {
      assert.equal((await post('/orders', `"${key('quo\\"ted')}"`)).status, 202);
      assert.ok(isReplay(await post('/orders', key('quo"ted'))));
      const odd = `${key('odd')}/../?a=%41#~\\`.padEnd(193, 'x');
      const { headers, status } = await post('/orders', odd);
      assert.equal(status, 202);
      const { body } = await ask(new URL(headers.get('location')!, server.url).href);
      assert.equal(body['key'], odd);
      assert.equal((await stored(odd)).length, 1);
    });

    it('answers with 404 for a key that was not used, and for commands of other types', async () => {
      assertProblem(await show('/orders', key('unknown')), 404, 'not-found');
      await sender.send({ messageId: `orders/${key('other')}`, type: 'Other', payload: {} });
      assertProblem(await show('/orders', key('other')), 404, 'not-found');
    });
  });
}
