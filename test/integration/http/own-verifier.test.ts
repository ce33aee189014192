/** Webhooks with a verifier of the application. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { message } from '../../../src/commands/message.ts';
import { HttpProblem, webhookEndpoint, WebhookVerificationError } from '../../../src/http/index.ts';
import type { HttpHandler, WebhookEndpointOptions, WebhookVerifier } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { read } from '../../support/http.ts';
import type { Answer } from '../../support/http.ts';
import { rows } from '../../support/rows.ts';

const note = defineContract({ type: 'Note', schema: z.object({}) });
const crash = (): never => {
  throw new TypeError('expected');
};
const refuse = (): never => {
  throw new WebhookVerificationError('the certificate has expired');
};

const deliver = async (handler: HttpHandler): Promise<Answer> =>
  read(await handler(new Request('http://localhost/hooks', { method: 'POST', body: '{}' })));

describe('a webhook endpoint with a verifier of the application', () => {
  let database: TestDatabase;
  let inbox: Inbox;
  const lines: string[] = [];

  before(async () => {
    database = await createTestDatabase();
    inbox = await createInbox({ pool: database.pool });
  });
  afterEach(async () => {
    lines.length = 0;
    await database.pool.query('delete from inbox.entries');
  });
  after(async () => {
    await inbox.close();
    await database.drop();
  });

  const endpoint = (verify: unknown, more: Partial<WebhookEndpointOptions> = {}): HttpHandler =>
    webhookEndpoint({
      inbox,
      verify: verify as WebhookVerifier,
      toMessage: ({ id }) => message(note, { messageId: id, payload: {} }),
      log: createLog('debug', (line) => lines.push(line)),
      ...more,
    });
  const stored = async () =>
    (await rows<{ id: string }>(database.pool, 'select message_id as id from inbox.entries')).map(
      ({ id }) => id,
    );

  it('accepts what it has verified, at once or later', async () => {
    assert.equal((await deliver(endpoint(() => ({ deliveryId: 'now' })))).status, 200);
    assert.equal((await deliver(endpoint(() => Promise.resolve({ deliveryId: 'later' })))).status, 200);
    assert.deepEqual(new Set(await stored()), new Set(['now', 'later']));
  });

  it('answers 401 with its reason if it refuses', async () => {
    const { status, body } = await deliver(endpoint(refuse));
    assert.deepEqual([status, body['detail']], [401, 'the certificate has expired']);
    assert.match(
      lines[0]!,
      /WARN {2}refused webhooks whose signature could not be verified count=1 reason="the certificate has expired"/,
    );
    assert.deepEqual(await stored(), []);
  });

  it('logs refusals at most once a minute', async () => {
    const handler = endpoint(refuse);
    for (let count = 0; count < 5; count += 1) assert.equal((await deliver(handler)).status, 401);
    assert.equal(lines.length, 1);
  });

  for (const [what, wrong] of [
    ['fails', crash],
    ['returns true', () => true],
    ['returns nothing', () => {}],
    ['returns no delivery id', () => ({})],
    ['returns an empty delivery id', () => ({ deliveryId: '' })],
  ] as const) {
    it(`accepts nothing if it ${what}`, async () => {
      assert.equal((await deliver(endpoint(wrong))).status, 500);
      assert.deepEqual(await stored(), []);
      if (wrong !== crash)
        assert.match(lines[0]!, /verify must return an object with the deliveryId, or throw/);
    });
  }

  it('can refuse with a problem of its own', async () => {
    const problem = new HttpProblem(403, 'address-not-allowed', 'use an address on the list');
    const { status, body } = await deliver(endpoint(() => Promise.reject(problem)));
    assert.deepEqual([status, body['detail']], [403, 'use an address on the list']);
    assert.deepEqual(await stored(), []);
  });

  it('logs a verified webhook that is refused, without its values', async () => {
    const strict = defineCommand({ type: 'Strict', schema: z.object({ card: z.int() }), handle: () => null });
    const toMessage = () => message(strict, { messageId: 'm', payload: { card: 'secret-4111' as never } });
    const answer = await deliver(endpoint(() => ({ deliveryId: 'delivery-7' }), { toMessage }));
    assert.equal(answer.status, 400);
    assert.match(
      lines[0]!,
      /WARN {2}a verified webhook was refused, .* deliveryId=delivery-7 fields=payload\.card/,
    );
    assert.doesNotMatch(lines.join(''), /4111/);
    assert.deepEqual(await stored(), []);
  });

  it('loses no event if toMessage forgets to return', async () => {
    const handler = endpoint(() => ({ deliveryId: 'forgotten' }), { toMessage: (() => {}) as never });
    assert.equal((await deliver(handler)).status, 500);
    assert.match(lines[0]!, /toMessage must return a message, a list of messages, or null/);
  });
});
