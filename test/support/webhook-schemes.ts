/**
 * Signs webhooks as providers do: Standard Webhooks with the official library, GitHub's and Stripe's as their documentation
 * describes it.
 *
 * @module
 */
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { githubWebhook, standardWebhooks, stripeWebhook } from '../../src/http/index.ts';
import type { WebhookSecrets, WebhookVerifier } from '../../src/http/index.ts';

export interface Delivery {
  id: string;
  body: string;
  secret: string;
  /** When the delivery is signed. */
  at: Date;
}

export interface Scheme {
  verify(secrets: WebhookSecrets): WebhookVerifier;
  /** Two secrets in the scheme's format. */
  secrets: readonly [string, string];
  /** The headers of a delivery. */
  sign(delivery: Delivery): Record<string, string>;
  signatureHeader: string;
  /** Values of that header that are almost the right one. */
  damage(signature: string): string[];
  /** Headers without a valid time; null if the scheme has no time. */
  withoutTime: ((headers: Record<string, string>) => Record<string, string>) | null;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const seconds = (at: Date) => String(Math.floor(at.getTime() / 1_000));
const hex = (secret: string, content: string) => createHmac('sha256', secret).update(content).digest('hex');

export const SCHEMES: Record<string, Scheme> = {
  'Standard Webhooks': {
    verify: (secrets) => standardWebhooks(secrets),
    secrets: [
      `whsec_${base64('a secret of the payment provider')}`,
      `whsec_${base64('another one, of next year')}`,
    ],
    sign: ({ id, body, secret, at }) => ({
      'webhook-id': id,
      'webhook-timestamp': seconds(at),
      'webhook-signature': new Webhook(secret).sign(id, at, body),
    }),
    signatureHeader: 'webhook-signature',
    damage: (signature) => [
      '',
      'v1',
      'v1,',
      signature.slice(0, -1),
      `${signature}=`,
      signature.slice('v1,'.length),
      signature.replace('v1,', 'v1a,'),
      signature.replace(/.{10}$/, 'AAAAAAAAA='),
    ],
    withoutTime: (headers) => ({ ...headers, 'webhook-timestamp': 'now' }),
  },
  GitHub: {
    verify: (secrets) => githubWebhook(secrets),
    secrets: ["It's a Secret to Everybody", 'and this is another one'],
    sign: ({ id, body, secret }) => ({
      'x-github-delivery': id,
      'x-github-event': 'push',
      'x-hub-signature-256': `sha256=${hex(secret, body)}`,
    }),
    signatureHeader: 'x-hub-signature-256',
    damage: (signature) => [
      '',
      'sha256=',
      signature.slice(0, -1),
      `${signature}0`,
      signature.slice('sha256='.length),
      signature.replace('sha256', 'sha1'),
      signature.replace('sha256', 'sha512'),
      `${signature}, ${signature}`,
    ],
    withoutTime: null,
  },
  Stripe: {
    verify: (secrets) => stripeWebhook(secrets),
    secrets: ['whsec_Wvu9gGF7XxOxCKsZ', 'whsec_zH0dVn6cK0Yp1mUw'],
    sign: ({ body, secret, at }) => ({
      'stripe-signature': `t=${seconds(at)},v1=${hex(secret, `${seconds(at)}.${body}`)},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`,
    }),
    signatureHeader: 'stripe-signature',
    damage: (signature) => [
      '',
      'v1',
      signature.replace(/v1=[^,]*/, 'v1='),
      signature.replace(/v1=./, 'v1='),
      signature.replace('v1=', 'v1=0'),
      signature.replace('v1=', 'v0='),
      signature.replace(/t=\d+/, `t=${seconds(new Date(Date.now() - 2_000))}`),
    ],
    withoutTime: ({ 'stripe-signature': signature, ...others }) => ({
      ...others,
      'stripe-signature': signature!.replace(/^t=\d+,/, ''),
    }),
  },
};
