/** The webhook with which a payment provider announces deposits. The provider signs with the official library. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { checkConservation } from '../../../examples/bank/conservation.ts';
import { createAccount, depositFunds } from '../../../examples/bank/commands.ts';
import type { HttpServer } from '../../../examples/bank/http-server.ts';
import { startHttpServer } from '../../../examples/bank/http-server.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { ask } from '../../support/bank-http.ts';
import type { Answer } from '../../support/bank-http.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const SECRET = `whsec_${Buffer.from('known to the payment provider').toString('base64')}`;
const quiet = createLog('error', () => {});

describe('deposits that a payment provider announces', () => {
  let inbox: TestInbox;
  let server: HttpServer;

  before(async () => {
    inbox = await createTestInbox();
    await createBankSchema(inbox.pool);
    server = await startHttpServer({ pool: inbox.pool, log: quiet, paymentSecrets: [SECRET] });
    await inbox.startWorker([createAccount, depositFunds]);
    const sender = await createInbox({ pool: inbox.pool });
    await sender.execute(createAccount, {
      messageId: inbox.id('ann'),
      payload: { accountId: 'ann', owner: 'Ann', openingBalanceCents: 1_000 },
    });
    await sender.close();
  });
  after(async () => {
    await server.stop();
    await inbox.close();
  });

  const payment = (name: string, amountCents: unknown = 250) => ({
    paymentId: inbox.id(name),
    accountId: 'ann',
    amountCents,
  });
  function announce(
    eventId: string,
    data: unknown,
    type = 'payment.settled',
    secret = SECRET,
  ): Promise<Answer> {
    const at = new Date();
    const body = JSON.stringify({ type, timestamp: '2026-11-03T20:26:10.344522Z', data });
    return ask(`${server.url}/webhooks/payments`, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'webhook-id': eventId,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
        'webhook-signature': new Webhook(secret).sign(eventId, at, body),
      },
    });
  }
  const deposits = async () =>
    rows<{ id: string; status: string }>(
      inbox.pool,
      `select message_id as id, status from inbox.entries where command_type = 'DepositFunds' order by message_id`,
    );
  const balance = async () => (await checkConservation(inbox.pool)).balanceCents;

  it('stores nothing for a wrong signature, an invalid payment and an event of another type', async () => {
    const stranger = `whsec_${Buffer.from('not known to the provider').toString('base64')}`;
    assert.equal((await announce('msg_1', payment('one'), 'payment.settled', stranger)).status, 401);
    const invalid = await announce('msg_1', payment('one', 0.5));
    assert.equal(invalid.status, 400);
    assert.deepEqual(
      (invalid.body['errors'] as { field: string }[]).map(({ field }) => field),
      ['data.amountCents'],
    );
    const other = await announce('msg_1', payment('one'), 'payment.created');
    assert.deepEqual([other.status, other.body], [200, { answer: 'ignored' }]);
    assert.deepEqual(await deposits(), []);
  });

  it('are made once for each payment, however often and in how many events it is announced', async () => {
    const id = `payment-${inbox.id('two')}`;
    assert.deepEqual((await announce('msg_2', payment('two'))).body, { answer: 'accepted' });
    assert.deepEqual((await announce('msg_2', payment('two'))).body, { answer: 'duplicate' });
    await inbox.reaches(id, 'Completed');
    assert.deepEqual((await announce('msg_3', payment('two'))).body, { answer: 'duplicate' });
    assert.equal((await announce('msg_4', payment('two', 999))).status, 409);
    assert.deepEqual(await deposits(), [{ id, status: 'Completed' }]);
    assert.equal(await balance(), 1_250n);
    assert.deepEqual((await checkConservation(inbox.pool)).problems, []);
  });

  it('need a secret: without one there is no webhook, and an invalid one is refused at the start', async () => {
    const without = await startHttpServer({ pool: inbox.pool, log: quiet });
    const answer = await ask(`${without.url}/webhooks/payments`, { method: 'POST' });
    assert.equal(answer.status, 404);
    await without.stop();
    await assert.rejects(startHttpServer({ pool: inbox.pool, log: quiet, paymentSecrets: 'secret' }), {
      name: 'ConfigurationError',
      message: /standardWebhooks: secret must be whsec_ and the base64 of at least 24 bytes/,
    });
  });
});
