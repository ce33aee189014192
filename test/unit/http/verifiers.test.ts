import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import {
  githubWebhook,
  standardWebhooks,
  stripeWebhook,
  WebhookVerificationError,
} from '../../../src/http/index.ts';

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
