import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { defineContract } from '../../../src/commands/contract.ts';
import { message } from '../../../src/commands/message.ts';
import {
  githubWebhook,
  HttpProblem,
  standardWebhooks,
  stripeWebhook,
  webhookEndpoint,
  WebhookVerificationError,
} from '../../../src/http/index.ts';
import type { WebhookEndpointOptions, WebhookVerifier } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { z } from 'zod';
import { read } from '../../support/http.ts';

const bytes = (text: string, encoding: BufferEncoding = 'utf8') =>
  new Uint8Array(Buffer.from(text, encoding));
const refusal = (reason: RegExp) => (error: unknown) =>
  error instanceof WebhookVerificationError && reason.test(error.reason);

describe('githubWebhook', () => {
  const verify = githubWebhook("It's a Secret to Everybody");

  it('accepts the example in GitHub’s documentation', () => {
    const headers = new Headers({
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    });
    assert.deepEqual(verify(bytes('Hello, World!'), headers), {
      deliveryId: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    });
    assert.throws(() => verify(bytes('Hello, World?'), headers), refusal(/the signature is wrong/));
    headers.delete('x-github-delivery');
    assert.throws(() => verify(bytes('Hello, World!'), headers), refusal(/x-github-delivery is missing/));
  });
});

describe('standardWebhooks', () => {
  const secret = `whsec_${Buffer.from('at least twenty-four bytes').toString('base64')}`;
  const signed = (body: string, at: Date, extra = '') =>
    new Headers({
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': `${extra}${new Webhook(secret).sign('msg_1', at, body)}`,
    });

  it('accepts one of several signatures, and ignores those of other versions', () => {
    const others =
      'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B= ';
    const verify = standardWebhooks(secret);
    assert.deepEqual(verify(bytes('{}'), signed('{}', new Date(), others)), { deliveryId: 'msg_1' });
  });

  it('verifies bytes, not text: invalid UTF-8 is not read as its replacement character', async () => {
    const headers = signed('\ufffd', new Date());
    assert.deepEqual(standardWebhooks(secret)(bytes('\ufffd'), headers), { deliveryId: 'msg_1' });
    assert.throws(() => standardWebhooks(secret)(bytes('\xff', 'latin1'), headers), refusal(/wrong/));
  });

  it('has a maximum age that can be set', () => {
    const headers = signed('{}', new Date(Date.now() - 600_000));
    assert.throws(() => standardWebhooks(secret)(bytes('{}'), headers), refusal(/too old/));
    assert.ok(standardWebhooks(secret, { maxAgeMs: 900_000 })(bytes('{}'), headers));
    const later = signed('{}', new Date(Date.now() + 600_000));
    assert.throws(() => standardWebhooks(secret)(bytes('{}'), later), refusal(/in the future/));
  });
});

describe('stripeWebhook', () => {
  const secret = 'whsec_Wvu9gGF7XxOxCKsZ';
  const sign = (body: string) => {
    const at = Math.floor(Date.now() / 1_000);
    const signature = createHmac('sha256', secret).update(`${at}.${body}`).digest('hex');
    return new Headers({ 'stripe-signature': `t=${at}, v1=${'0'.repeat(64)}, v1=${signature}` });
  };

  it('accepts one of several signatures, and finds the id of the event', () => {
    const body = '{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event"}';
    assert.deepEqual(stripeWebhook(secret)(bytes(body), sign(body)), {
      deliveryId: 'evt_1NG8Du2eZvKYlo2CUI79vXWy',
    });
  });

  for (const body of ['{}', '[]', 'null', '{"id":5}', '{"id":""}']) {
    it(`refuses a signed body without an id: ${body}`, () => {
      assert.throws(() => stripeWebhook(secret)(bytes(body), sign(body)), {
        name: 'InvalidMessageError',
        field: 'id',
      });
    });
  }
});

const crash = (): never => {
  throw new TypeError('expected');
};

describe('a webhook endpoint with a verifier of the application', () => {
  const lines: string[] = [];
  const sent: string[] = [];
  const inbox = {
    sendMany: (messages: readonly { messageId: string }[]) => {
      sent.push(...messages.map(({ messageId }) => messageId));
      return Promise.resolve(messages.map(() => ({ answer: 'accepted' })));
    },
    send: () => assert.fail('not called'),
    execute: () => assert.fail('not called'),
    status: () => assert.fail('not called'),
  };
  const note = defineContract({ type: 'Note', schema: z.any() });
  const deliver = async (verify: unknown, more: Partial<WebhookEndpointOptions> = {}) => {
    lines.length = sent.length = 0;
    const handler = webhookEndpoint({
      inbox: inbox as unknown as WebhookEndpointOptions['inbox'],
      verify: verify as WebhookVerifier,
      toMessage: ({ id }) => message(note, { messageId: id, payload: {} }),
      log: createLog('debug', (line) => lines.push(line)),
      ...more,
    });
    return read(await handler(new Request('http://localhost/hooks', { method: 'POST', body: '{}' })));
  };

  it('accepts what it has verified, also later', async () => {
    assert.equal((await deliver(() => ({ deliveryId: 'a' }))).status, 200);
    assert.equal((await deliver(async () => ({ deliveryId: 'b' }))).status, 200);
    assert.deepEqual(sent, ['b']);
  });

  it('answers 401 with its reason if it refuses', async () => {
    const { status, body } = await deliver(() => {
      throw new WebhookVerificationError('the certificate has expired');
    });
    assert.deepEqual([status, body['detail']], [401, 'the certificate has expired']);
    assert.match(
      lines[0]!,
      /WARN {2}refused webhooks whose signature could not be verified count=1 reason="the certificate has expired"/,
    );
    assert.deepEqual(sent, []);
  });

  it('logs refusals at most once a minute', async () => {
    lines.length = 0;
    const handler = webhookEndpoint({
      inbox: inbox as unknown as WebhookEndpointOptions['inbox'],
      verify: githubWebhook('secret'),
      toMessage: () => null,
      log: createLog('debug', (line) => lines.push(line)),
    });
    for (let count = 0; count < 5; count += 1)
      assert.equal((await handler(new Request('http://localhost/', { method: 'POST' }))).status, 401);
    assert.equal(lines.length, 1);
  });

  it('accepts nothing if it fails, or returns something else than a verification', async () => {
    for (const wrong of [
      crash,
      () => true,
      () => undefined,
      () => ({}),
      () => ({ deliveryId: '' }),
      () => 'a',
    ]) {
      assert.equal((await deliver(wrong)).status, 500);
      assert.deepEqual(sent, []);
    }
    assert.match(lines[0]!, /verify must return an object with the deliveryId, or throw/);
  });

  it('can refuse with a problem of its own', async () => {
    const { status, body } = await deliver(() => {
      throw new HttpProblem(403, 'address-not-allowed', 'use an address on the list');
    });
    assert.deepEqual([status, body['detail']], [403, 'use an address on the list']);
  });

  it('loses no event if toMessage forgets to return', async () => {
    const answer = await deliver(() => ({ deliveryId: 'a' }), { toMessage: (() => {}) as never });
    assert.equal(answer.status, 500);
    assert.match(lines[0]!, /toMessage must return a message, a list of messages, or null/);
  });
});
