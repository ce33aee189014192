import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import type { HttpServer } from '../../../examples/bank/http-server.ts';
import { startHttpServer } from '../../../examples/bank/http-server.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import { createLog } from '../../../src/platform/log.ts';
import { ask, assertProblem, post, transfer } from '../../support/bank-http.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';

describe('the bank’s HTTP API rejects and does not store', () => {
  let database: TestDatabase;
  let server: HttpServer;

  before(async () => {
    database = await createTestDatabase();
    await createBankSchema(database.pool);
    server = await startHttpServer({ pool: database.pool, log: createLog('error', () => {}) });
  });
  after(async () => {
    await server.stop();
    await database.drop();
  });

  const stored = () =>
    rows(
      database.pool,
      'select message_id from inbox.entries union all select idempotency_key from bank.transfer_requests',
    );

  const long = 'k'.repeat(192);
  const cases: [what: string, status: number, code: string, init: RequestInit & { key?: string }][] = [
    ['no key', 400, 'idempotency-key-missing', {}],
    ['an empty key', 400, 'idempotency-key-missing', { key: '' }],
    ['a key with a space', 400, 'idempotency-key-invalid', { key: 'bad key' }],
    ['two keys', 400, 'idempotency-key-invalid', { key: 'bad-1, bad-2' }],
    ['a key over 191 bytes', 400, 'idempotency-key-invalid', { key: long }],
    ['a key with non-ASCII characters', 400, 'idempotency-key-invalid', { key: 'bad-é' }],
    ['a key with an unterminated quote', 400, 'idempotency-key-invalid', { key: '"bad' }],
    ['a key with parameters', 400, 'idempotency-key-invalid', { key: '"bad";a=1' }],
    ['a key that is a path segment', 400, 'idempotency-key-invalid', { key: '..' }],
    ['no body', 400, 'invalid-json', { key: 'bad', body: '' }],
    ['invalid JSON', 400, 'invalid-json', { key: 'bad', body: '{"from":' }],
    ['invalid UTF-8', 400, 'invalid-json', { key: 'bad', body: Buffer.from('"\xff"', 'latin1') }],
    ['a body that is not an object', 400, 'invalid-transfer', { key: 'bad', body: '[]' }],
    ['no amount', 400, 'invalid-transfer', { key: 'bad', body: '{"from":"a","to":"b"}' }],
    ['an amount of 0', 400, 'invalid-transfer', { key: 'bad', body: bodyWith({ amountCents: 0 }) }],
    ['a fraction of a cent', 400, 'invalid-transfer', { key: 'bad', body: bodyWith({ amountCents: 0.5 }) }],
    [
      'an amount above 2^53 - 1',
      400,
      'invalid-transfer',
      { key: 'bad', body: bodyWith({ amountCents: 2 ** 53 }) },
    ],
    ['an amount as text', 400, 'invalid-transfer', { key: 'bad', body: bodyWith({ amountCents: '5' }) }],
    [
      'a transfer to the paying account',
      400,
      'invalid-transfer',
      { key: 'bad', body: bodyWith({ to: 'alice' }) },
    ],
    ['an unknown member', 400, 'invalid-transfer', { key: 'bad', body: bodyWith({ currency: 'EUR' }) }],
    ['a NUL', 400, 'invalid-transfer', { key: 'bad', body: bodyWith({ to: 'b\0' }) }],
    [
      'a lone surrogate',
      400,
      'invalid-transfer',
      { key: 'bad', body: '{"from":"a","to":"\\ud800","amountCents":1}' },
    ],
    [
      'a body over 10,000 bytes',
      413,
      'too-large',
      { key: 'bad', body: bodyWith({ to: 'b'.repeat(10_000) }) },
    ],
    ['a body of 5 MB', 413, 'too-large', { key: 'bad', body: 'x'.repeat(5_000_000) }],
    [
      'form data',
      415,
      'unsupported-media-type',
      { key: 'bad', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    ],
    [
      'Latin-1',
      415,
      'unsupported-media-type',
      { key: 'bad', headers: { 'content-type': 'application/json; charset=latin1' } },
    ],
    [
      'a compressed body',
      415,
      'unsupported-media-type',
      { key: 'bad', headers: { 'content-encoding': 'gzip' } },
    ],
  ];
  for (const [what, status, code, { key, headers, body = JSON.stringify(transfer), ...init }] of cases) {
    it(what, async () => {
      const answer = await ask(`${server.url}/transfers`, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          ...(key !== undefined && { 'idempotency-key': key }),
          ...(headers as Record<string, string>),
        },
        ...init,
      });
      assertProblem(answer, status, code);
      assert.deepEqual(await stored(), []);
    });
  }

  it('an invalid transfer, and names each invalid field', async () => {
    const { body } = await post(server, 'bad', { from: '', to: 'b' });
    const fields = (body['errors'] as { field: string }[]).map(({ field }) => field);
    assert.deepEqual(fields, ['from', 'amountCents']);
  });

  for (const [method, path, status, code, allow] of [
    ['GET', '/', 404, 'not-found', null],
    ['GET', '/transfers/unknown', 404, 'not-found', null],
    ['GET', '/transfers/%E0', 404, 'not-found', null],
    ['GET', '/transfers/a/b', 404, 'not-found', null],
    ['POST', '/transfers/', 404, 'not-found', null],
    ['GET', '/transfers', 405, 'method-not-allowed', 'POST'],
    ['DELETE', '/transfers/first', 405, 'method-not-allowed', 'GET, HEAD'],
  ] as const) {
    it(`${method} ${path}`, async () => {
      const answer = await ask(`${server.url}${path}`, { method });
      assertProblem(answer, status, code);
      assert.equal(answer.headers.get('allow'), allow);
    });
  }
});

function bodyWith(more: object): string {
  return JSON.stringify({ ...transfer, ...more });
}
