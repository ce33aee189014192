/** The handlers themselves, without a server: own transactions, clients, errors, options that frameworks do not matter for. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Pool, PoolClient } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { defineContract } from '../../../src/commands/contract.ts';
import { message } from '../../../src/commands/message.ts';
import { commandEndpoint, HttpProblem, statusBody, webhookEndpoint } from '../../../src/http/index.ts';
import type { CommandEndpointOptions, HttpHandler } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { assertProblem, read } from '../../support/http.ts';
import type { Answer } from '../../support/http.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';

const schema = z.object({ sku: z.string(), customer: z.string().optional() });
const placeOrder = defineCommand({
  type: 'PlaceOrder',
  schema,
  handle: ({ payload }) => ({ sold: payload.sku }),
});
/** Client's data, which must not appear in logs. */
const SECRET = 'card-4711';
const fail = (): never => {
  throw new TypeError(`cannot handle ${SECRET}`);
};
type Options = CommandEndpointOptions<typeof placeOrder>;

const post = async (handler: HttpHandler, used: string, body: unknown = { sku: 'tea' }): Promise<Answer> => {
  const headers = { 'content-type': 'application/json', 'idempotency-key': used };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return read(await handler(new Request('http://localhost/orders?a=b', init)));
};
const get = async (handler: HttpHandler, used: string): Promise<Answer> =>
  read(await handler(new Request(`http://localhost/orders/${used}`)));

describe('a command endpoint', () => {
  let fixture: TestInbox;
  let pool: Pool;
  let inbox: Inbox;
  const lines: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
    ({ pool } = fixture);
    inbox = await createInbox({ pool });
    await pool.query(
      'create table order_requests (key text primary key, check (key not like $$%unlucky%$$))',
    );
    await fixture.startWorker([placeOrder]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const key = (name: string) => fixture.id(name);
  const endpoint = (more: Partial<Options> = {}): HttpHandler =>
    commandEndpoint({
      inbox,
      command: placeOrder,
      path: '/orders',
      messageId: (used) => `orders/${used}`,
      log: createLog('debug', (line) => lines.push(line)),
      ...more,
    });
  const effects = async (used: string) => {
    const [found] = await rows<{ entries: number; requests: number }>(
      pool,
      `select (select count(*) from inbox.entries where message_id = 'orders/' || $1)::integer as entries,
              (select count(*) from order_requests where key = $1)::integer as requests`,
      [used],
    );
    return found;
  };

  const sendWithOwnRow: Options['send'] = (order, used) =>
    withTransaction(pool, async (tx: PoolClient) => {
      const sent = await inbox.send(placeOrder, order, { tx });
      await tx.query('insert into order_requests (key) values ($1) on conflict do nothing', [used]);
      if (used.includes('refused')) throw new HttpProblem(409, 'closed', 'the shop is closed');
      return sent;
    });

  describe('with a transaction of the application', () => {
    it('stores both or, if it fails or refuses, neither', async () => {
      const handler = endpoint({ send: sendWithOwnRow });
      const accepted = await post(handler, key('both'));
      assert.equal(accepted.status, 202);
      assert.deepEqual(await effects(key('both')), { entries: 1, requests: 1 });
      const repeated = await post(handler, key('both'));
      assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
      assertProblem(await post(handler, key('both'), { sku: 'coffee' }), 422, 'idempotency-key-reused');

      assertProblem(await post(handler, key('unlucky')), 500, 'internal');
      assertProblem(await post(handler, key('refused')), 409, 'closed');
      assertProblem(await post(handler, key('invalid'), { sku: 5 }), 400, 'invalid-payload');
      for (const used of ['unlucky', 'refused', 'invalid'])
        assert.deepEqual(await effects(key(used)), { entries: 0, requests: 0 });
    });

    it('waits for the result after the COMMIT', async () => {
      const handler = endpoint({ send: sendWithOwnRow, wait: 300_000 });
      const first = await post(handler, key('waited'));
      assert.deepEqual([first.status, first.body['result']], [200, { sold: 'tea' }]);
      assert.equal(first.headers.get('idempotency-replayed'), null);
      const repeated = await post(handler, key('waited'));
      assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [200, 'true']);
      assert.deepEqual(await effects(key('waited')), { entries: 1, requests: 1 });
    });

    it('takes nothing for accepted that inbox.send did not return', async () => {
      for (const wrong of [undefined, { answer: 'accepted' }, true]) {
        const handler = endpoint({ send: (() => Promise.resolve(wrong)) as unknown as Options['send'] & {} });
        assertProblem(await post(handler, key('nothing')), 500, 'internal');
      }
      assert.match(lines.at(-1)!, /send must resolve to what inbox\.send returned/);
    });
  });

  it('keeps the keys of clients apart', async () => {
    const clients = new WeakMap<Request, string>();
    const orders = endpoint({
      messageId: (used, request) => `orders/${clients.get(request)!}/${used}`,
      toMessage: (body, request) => ({
        payload: { ...(body as object), customer: clients.get(request)! },
        metadata: { via: 'http' },
      }),
    });
    const as =
      (client: string): HttpHandler =>
      (request) => {
        clients.set(request, client);
        return orders(request);
      };
    assert.equal((await post(as('ann'), key('same'))).headers.get('idempotency-replayed'), null);
    assertProblem(await get(as('bob'), key('same')), 404, 'not-found');
    assert.equal(
      (await post(as('bob'), key('same'), { sku: 'gin' })).headers.get('idempotency-replayed'),
      null,
    );
    assert.equal((await get(as('bob'), key('same'))).status, 200);
    const found = await rows(
      pool,
      'select payload, metadata from inbox.entries where message_id like $1 order by message_id',
      [`orders/%/${key('same')}`],
    );
    assert.deepEqual(found, [
      { payload: { sku: 'tea', customer: 'ann' }, metadata: { via: 'http' } },
      { payload: { sku: 'gin', customer: 'bob' }, metadata: { via: 'http' } },
    ]);
  });

  it('represents a command as the application describes it', async () => {
    const handler = endpoint({
      describe: (entry, used, request) => ({
        ...statusBody(entry, used),
        order: entry.payload,
        at: new URL(request.url).search,
      }),
    });
    const { body } = await post(handler, key('described'));
    assert.deepEqual([body['key'], body['order'], body['at']], [key('described'), { sku: 'tea' }, '?a=b']);
  });

  it('names the kinds of problems as the application wishes', async () => {
    const handler = endpoint({ problemType: (code) => `tag:shop.example,2026:${code}` });
    const answer = await post(handler, key('typed'), {});
    assertProblem(answer, 400, 'invalid-payload', (code) => `tag:shop.example,2026:${code}`);
    assert.equal(answer.body['title'], 'The payload is invalid');
  });

  it('answers 503 if another transaction is about to accept the key', async () => {
    const holder = await pool.connect();
    await holder.query('begin');
    await inbox.send(
      placeOrder,
      { messageId: `orders/${key('held')}`, payload: { sku: 'tea' } },
      { tx: holder },
    );
    const answer = await post(endpoint(), key('held'));
    assertProblem(answer, 503, 'unavailable');
    assert.ok(Number(answer.headers.get('retry-after')) > 0);
    await holder.query('rollback');
    holder.release();
    assert.equal((await post(endpoint(), key('held'))).headers.get('idempotency-replayed'), null);
  });

  it('answers 503 if Postgres ended the transaction, and a repeat may succeed', async () => {
    for (const state of ['40001', '40P01', '55P03', '57014']) {
      const send = () =>
        withTransaction(pool, async (tx): Promise<never> => {
          await tx.query(`do $$ begin raise exception 'expected' using errcode = '${state}'; end $$`);
          throw new Error('it did not fail');
        });
      assertProblem(await post(endpoint({ send }), key(state)), 503, 'unavailable');
    }
  });

  it('answers 503 while it shuts down', async () => {
    const closing = await createInbox({ pool });
    await closing.close();
    for (const wait of [0, 1_000])
      assertProblem(await post(endpoint({ inbox: closing, wait }), key('late')), 503, 'unavailable');
    assert.equal((await effects(key('late')))?.entries, 0);
  });

  it('answers 500 to an unexpected error, and logs where it came from but not what the client sent', async () => {
    for (const more of [{ messageId: fail }, { toMessage: fail }, { describe: fail }, { send: fail }]) {
      lines.length = 0;
      const answer = await post(endpoint(more), key(SECRET), { sku: SECRET });
      assertProblem(answer, 500, 'internal');
      assert.doesNotMatch(JSON.stringify(answer.body), /card|TypeError/);
      assert.equal(lines.length, 1);
      assert.match(
        lines[0]!,
        /ERROR answered 500 commandType=PlaceOrder error=TypeError at="at .*fail.*handlers\.test/,
      );
      assert.doesNotMatch(lines[0]!, /card/);
    }
  });

  it('answers 500 for a message_id or a problem type of the application that is invalid', async () => {
    for (const [wrong, problem] of [
      ['', 'is empty or blank'],
      ['a\nb', 'has a control character'],
      [undefined, 'must be text'],
      ['x'.repeat(600), 'is longer than 200 bytes'],
    ] as const) {
      assertProblem(
        await post(endpoint({ messageId: () => wrong as string }), key('wrong')),
        500,
        'internal',
      );
      assert.match(lines.at(-1)!, new RegExp(`messageId returned ${problem}`));
    }
    assertProblem(await post(endpoint({ problemType: fail }), key('wrong'), {}), 500, 'internal');
    const invalid = new HttpProblem(418, 'teapot', 'short', { headers: { 'a b': 'c' } });
    assertProblem(
      await post(endpoint({ send: () => Promise.reject(invalid) }), key('wrong')),
      500,
      'internal',
    );
  });

  it('takes the error of a schema for the client’s only if toMessage has thrown it', async () => {
    const issues = new z.ZodError([{ code: 'custom', path: ['row'], message: SECRET, input: 1 }]);
    const answer = await post(endpoint({ send: () => Promise.reject(issues) }), key('internal-issues'));
    assertProblem(answer, 500, 'internal');
    assert.doesNotMatch(JSON.stringify(answer.body) + lines.at(-1)!, /card/);
  });

  it('logs no line of a message that looks like a place in the code', async () => {
    const misleading = new Error(`first line\n    at ${SECRET} (file.js:1:1)`);
    assertProblem(
      await post(endpoint({ send: () => Promise.reject(misleading) }), key('place')),
      500,
      'internal',
    );
    assert.match(lines.at(-1)!, /at="at .*handlers\.test/);
    assert.doesNotMatch(lines.at(-1)!, /card/);
  });

  it('says that the body was read before', async () => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key('read') };
    const request = new Request('http://localhost/orders', {
      method: 'POST',
      headers,
      body: '{"sku":"tea"}',
    });
    await request.text();
    assertProblem(await read(await endpoint()(request)), 500, 'internal');
    assert.match(lines.at(-1)!, /problem="the body of the request was read before it came here/);
  });

  it('makes the Location from the path of the POST if it has no path', async () => {
    const handler = endpoint({ path: undefined as never });
    for (const [path, location] of [
      ['/', `/${key('path')}`],
      ['/orders', `/orders/${key('path')}`],
      ['/customers/7/orders/', `/customers/7/orders/${key('path')}`],
      ['//evil.example/orders', `/evil.example/orders/${key('path')}`],
    ] as const) {
      const headers = { 'content-type': 'application/json', 'idempotency-key': key('path') };
      const init = { method: 'POST', headers, body: '{"sku":"tea"}' };
      const response = await handler(new Request(`http://localhost${path}`, init));
      assert.deepEqual([response.status, response.headers.get('location')], [202, location]);
      assert.equal((await handler(new Request(`http://localhost${location}`))).status, 200);
    }
  });

  it('takes an inbox that knows its commands, and a contract instead of the command', async () => {
    const typed = await createInbox({ pool, commands: [placeOrder] });
    const contract = defineContract({ type: 'PlaceOrder', schema: z.strictObject({ sku: z.string() }) });
    const handler = commandEndpoint({
      inbox: typed,
      command: contract,
      messageId: (used) => `orders/${used}`,
    });
    assert.equal((await post(handler, key('typed'))).status, 202);
    assertProblem(await post(handler, key('strict'), { sku: 'tea', more: 1 }), 400, 'invalid-payload');
    await typed.close();
  });

  it('may hash the key, which may then be longer', async () => {
    const handler = endpoint({
      messageId: (used) => `orders/${createHash('sha256').update(used).digest('base64url')}`,
    });
    const long = key('long').padEnd(255, 'x');
    const { status, body } = await post(handler, long);
    assert.deepEqual([status, body['key']], [202, long]);
    assert.equal((await get(handler, long)).status, 200);
  });

  it('needs no more than the role inbox_sender, and its limits', async () => {
    const login = await createLogin(fixture.database, 'inbox_sender');
    await pool.query(
      `insert into inbox.sender_limits (login, id_prefix, command_types) values ($1, 'orders/', '{PlaceOrder}')`,
      [login.name],
    );
    const restricted = await createInbox({ pool: login.pool });
    const handler = endpoint({ inbox: restricted, wait: 300_000 });
    const { status, body } = await post(handler, key('restricted'));
    assert.deepEqual([status, body['result']], [200, { sold: 'tea' }]);
    assert.equal((await get(handler, key('restricted'))).status, 200);
    const hooks = (messageId: string) =>
      webhookEndpoint({
        inbox: restricted,
        verify: () => ({ deliveryId: key('hook') }),
        toMessage: ({ id }) =>
          message(placeOrder, { messageId: `${messageId}${id}`, payload: { sku: 'tea' } }),
        log: createLog('debug', (line) => lines.push(line)),
      });
    const deliver = async (prefix: string) =>
      read(await hooks(prefix)(new Request('http://localhost/', { method: 'POST', body: '{}' })));
    assert.deepEqual((await deliver('orders/')).body, { answer: 'accepted' });
    assert.equal((await deliver('others/')).status, 500);
    assert.match(lines.at(-1)!, /sqlstate=42501/);
    await restricted.close();
    await login.drop();
  });
});
