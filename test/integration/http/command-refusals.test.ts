/** What a command endpoint refuses, served from each framework. Nothing may be stored. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import * as v from 'valibot';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { commandEndpoint, HttpProblem } from '../../../src/http/index.ts';
import type { CommandEndpointOptions, HttpHandler } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { ask, assertProblem, read, sendTruncated } from '../../support/http.ts';
import type { Answer } from '../../support/http.ts';
import { SERVERS } from '../../support/http-servers.ts';
import type { TestHttpServer } from '../../support/http-servers.ts';
import { rows } from '../../support/rows.ts';
import { eventually } from '../../support/wait.ts';

const MAX_BODY_BYTES = 10_000;
const order = { sku: 'tea', lines: [{ quantity: 2 }] };
const placeOrder = defineContract({
  type: 'PlaceOrder',
  schema: z.strictObject({ sku: z.string().min(1), lines: z.array(z.object({ quantity: z.int() })) }),
});
const JSON_TYPE = { 'content-type': 'application/json' };

interface Case {
  key?: string | null;
  headers?: Record<string, string>;
  body?: RequestInit['body'];
}
const text = (value: unknown) => JSON.stringify(value);

const CASES: [what: string, status: number, code: string, given: Case][] = [
  ['no key', 400, 'idempotency-key-missing', { key: null }],
  ['an empty key', 400, 'idempotency-key-missing', { key: '' }],
  ['a key with a space', 400, 'idempotency-key-invalid', { key: 'bad key' }],
  ['an empty quoted key', 400, 'idempotency-key-invalid', { key: '""' }],
  ['a key with non-ASCII characters', 400, 'idempotency-key-invalid', { key: 'bad-é' }],
  ['a key with an unterminated quote', 400, 'idempotency-key-invalid', { key: '"bad' }],
  ['a key with parameters', 400, 'idempotency-key-invalid', { key: '"bad";a=1' }],
  ['the key .', 400, 'idempotency-key-invalid', { key: '.' }],
  ['the key ..', 400, 'idempotency-key-invalid', { key: '..' }],
  ['a key that makes the message_id too long', 400, 'idempotency-key-invalid', { key: 'k'.repeat(194) }],
  ['a key over 255 characters', 400, 'idempotency-key-invalid', { key: 'k'.repeat(256) }],
  ['no body', 400, 'invalid-json', { body: '' }],
  ['a truncated text', 400, 'invalid-json', { body: '{"sku":' }],
  ['invalid UTF-8', 400, 'invalid-json', { body: Buffer.from('{"sku":"\xff","lines":[]}', 'latin1') }],
  ['a body that is not an object', 400, 'invalid-payload', { body: '[]' }],
  ['a NUL', 400, 'invalid-payload', { body: '{"sku":"\\u0000","lines":[]}' }],
  ['a number that loses digits', 400, 'invalid-payload', { body: '{"sku":"a","lines":[{"quantity":1e40}]}' }],
  [
    'a number that would become 0',
    400,
    'invalid-payload',
    { body: '{"sku":"a","lines":[{"quantity":1e-400}]}' },
  ],
  ['an unknown member', 400, 'invalid-payload', { body: text({ ...order, currency: 'EUR' }) }],
  ['a body over the limit', 413, 'too-large', { body: 'x'.repeat(MAX_BODY_BYTES + 1) }],
  ['a body of 5 MB', 413, 'too-large', { body: 'x'.repeat(5_000_000) }],
  [
    'a form',
    415,
    'unsupported-media-type',
    { headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  ],
  ['text', 415, 'unsupported-media-type', { headers: { 'content-type': 'text/plain' } }],
  [
    'Latin-1',
    415,
    'unsupported-media-type',
    { headers: { 'content-type': 'application/json; charset=latin1' } },
  ],
  ['a compressed body', 415, 'unsupported-media-type', { headers: { 'content-encoding': 'gzip' } }],
];

for (const [framework, serve] of Object.entries(SERVERS)) {
  describe(`a command endpoint, served from ${framework}, refuses`, () => {
    let database: TestDatabase;
    let inbox: Inbox;
    let server: TestHttpServer;
    /** The answers of the endpoint, also those that no client gets. */
    let answers: Promise<Answer>[];

    before(async () => {
      database = await createTestDatabase();
      inbox = await createInbox({ pool: database.pool });
      const endpoint = (more: Partial<CommandEndpointOptions<typeof placeOrder>> = {}): HttpHandler => {
        const handler = commandEndpoint({
          inbox,
          command: placeOrder,
          messageId: (key) => `orders/${key}`,
          maxBodyBytes: MAX_BODY_BYTES,
          log: createLog('error', () => {}),
          ...more,
        });
        return async (request) => {
          const response = await handler(request);
          answers.push(read(response.clone()));
          return response;
        };
      };
      server = await serve({
        '/orders': endpoint({ path: '/orders' }),
        '/anywhere': endpoint(),
        '/refused': endpoint({
          toMessage() {
            throw new HttpProblem(403, 'not-your-warehouse', 'this warehouse belongs to somebody else');
          },
        }),
        '/invalid': endpoint({
          toMessage() {
            throw new InvalidMessageError('payload.warehouse', 'does not exist');
          },
        }),
        '/zod': endpoint({
          toMessage: (body) => ({ payload: z.object({ a: z.object({ b: z.string() }) }).parse(body) }),
        }),
        '/valibot': endpoint({
          toMessage: (body) => ({ payload: v.parse(v.object({ a: v.object({ b: v.string() }) }), body) }),
        }),
      });
    });
    beforeEach(() => (answers = []));
    after(async () => {
      await server.close();
      await inbox.close();
      await database.drop();
    });

    const stored = () => rows(database.pool, 'select message_id from inbox.entries');

    function post(path: string, { key = 'key', headers = {}, body = text(order) }: Case): Promise<Answer> {
      const all: Record<string, string> = { ...JSON_TYPE, ...headers };
      if (key !== null) all['idempotency-key'] = key;
      return ask(`${server.url}${path}`, { method: 'POST', headers: all, body });
    }

    for (const [what, status, code, given] of CASES) {
      it(what, async () => {
        assertProblem(await post('/orders', given), status, code);
        assert.deepEqual(await stored(), []);
      });
    }

    it('two keys', async () => {
      const headers = new Headers({ ...JSON_TYPE, 'idempotency-key': 'key' });
      headers.append('idempotency-key', 'key');
      const answer = await ask(`${server.url}/orders`, { method: 'POST', headers, body: text(order) });
      assertProblem(answer, 400, 'idempotency-key-invalid');
      assert.deepEqual(await stored(), []);
    });

    it('a body over the limit whose length is not announced', async () => {
      const chunk = new Uint8Array(4_000).fill(32);
      let left = 1_000;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if ((left -= 1) < 0) controller.close();
          else controller.enqueue(chunk);
        },
      });
      const answer = await ask(`${server.url}/orders`, {
        method: 'POST',
        headers: { ...JSON_TYPE, 'idempotency-key': 'key' },
        body,
        duplex: 'half',
      });
      assertProblem(answer, 413, 'too-large');
      // The connection is still good for the next request.
      assertProblem(await post('/orders', { body: '[]' }), 400, 'invalid-payload');
      assert.deepEqual(await stored(), []);
    });

    it('a payload with several invalid fields, and names each', async () => {
      const { body } = await post('/orders', {
        body: text({ sku: '', lines: [{ quantity: 1 }, { quantity: 'x' }] }),
      });
      const errors = body['errors'] as { field: string; problem: string }[];
      assert.deepEqual(
        errors.map(({ field }) => field),
        ['sku', 'lines.1.quantity'],
      );
      assert.ok(errors.every(({ problem }) => problem !== ''));
      assert.deepEqual(await stored(), []);
    });

    it('a key that is too long, and says how long it may be', async () => {
      const { body } = await post('/orders', { key: 'k'.repeat(194) });
      assert.match(body['detail'] as string, /1 to 193 visible ASCII characters/);
      assert.equal((await post('/orders', { key: 'k'.repeat(193) })).status, 202);
      await database.pool.query('delete from inbox.entries');
    });

    it('a type that is not JSON, and says what it accepts', async () => {
      const form = await post('/orders', { headers: { 'content-type': 'text/plain' } });
      assert.equal(form.headers.get('accept-post'), 'application/json');
      const compressed = await post('/orders', { headers: { 'content-encoding': 'br' } });
      assert.equal(compressed.headers.get('accept-encoding'), 'identity');
    });

    it('a body whose client disconnects before its end', async () => {
      const headers = { ...JSON_TYPE, 'idempotency-key': 'key' };
      const socket = await sendTruncated(server.port, '/orders', headers, text(order));
      socket.destroy();
      const answer = await eventually('the endpoint has answered', () => answers[0]);
      assertProblem(answer, 400, 'incomplete');
      assert.deepEqual(await stored(), []);
    });

    it('what the application refuses, with its own problem or the fields that it names', async () => {
      assertProblem(await post('/refused', {}), 403, 'not-your-warehouse');
      for (const [path, field] of [
        ['/invalid', 'warehouse'],
        ['/zod', 'a.b'],
        ['/valibot', 'a.b'],
      ] as const) {
        const answer = await post(path, { body: '{"a":{"b":5}}' });
        assertProblem(answer, 400, 'invalid-payload');
        assert.equal((answer.body['errors'] as { field: string }[])[0]?.field, field);
      }
      assert.deepEqual(await stored(), []);
    });

    for (const [method, path, status, code, allow] of [
      ['GET', '/orders', 405, 'method-not-allowed', 'POST'],
      ['PUT', '/orders', 405, 'method-not-allowed', 'POST'],
      ['OPTIONS', '/orders', 405, 'method-not-allowed', 'POST'],
      ['DELETE', '/orders/key', 405, 'method-not-allowed', 'GET, HEAD'],
      ['POST', '/orders/key', 405, 'method-not-allowed', 'GET, HEAD'],
      ['PATCH', '/anywhere', 405, 'method-not-allowed', 'GET, HEAD, POST'],
      ['GET', '/anywhere', 404, 'not-found', null],
      ['GET', '/anywhere/unknown', 404, 'not-found', null],
      ['GET', '/orders/unknown', 404, 'not-found', null],
      ['GET', '/orders/a%20b', 404, 'not-found', null],
      ['GET', '/orders/a/b', 404, 'not-found', null],
      ['GET', `/orders/${'k'.repeat(194)}`, 404, 'not-found', null],
      ['POST', '/orders/', 404, 'not-found', null],
    ] as const) {
      it(`${method} ${path.slice(0, 30)} with ${status}`, async () => {
        const answer = await ask(`${server.url}${path}`, { method });
        assertProblem(answer, status, code);
        assert.equal(answer.headers.get('allow'), allow);
      });
    }
  });
}
