import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';
import {
  commandEndpoint,
  githubWebhook,
  HttpProblem,
  standardWebhooks,
  stripeWebhook,
  toNodeListener,
  webhookEndpoint,
} from '../../../src/http/index.ts';

const command = defineContract({ type: 'PlaceOrder', schema: z.object({}) });
const unused = (): never => {
  throw new Error('not called');
};
const inbox = { send: unused, sendMany: unused, execute: unused, status: unused };
const messageId = (key: string) => key;

/** @throws whatever the call with these options throws, which the compiler would refuse */
type Creation = (options: never) => unknown;
const creations: [Creation, object][] = [
  [commandEndpoint, { inbox, command, messageId }],
  [webhookEndpoint, { inbox, verify: unused, toMessage: unused }],
];

function refuses(create: () => unknown, problem: RegExp): void {
  assert.throws(create, (error) => {
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, problem);
    return true;
  });
}

describe('the options of endpoints', () => {
  for (const [create, right] of creations) {
    it(`of ${create.name} are accepted if they are right`, () => {
      assert.equal(typeof create(right as never), 'function');
      const undefinedOnes = { ...right, wait: undefined, log: undefined, maxBodyBytes: undefined };
      if (create.name === 'commandEndpoint') assert.equal(typeof create(undefinedOnes as never), 'function');
      const all = { ...right, maxBodyBytes: 33_554_432, problemType: (code: string) => code };
      assert.equal(typeof create(all as never), 'function');
    });

    for (const [name, value, problem] of [
      ['inbox', undefined, /inbox must be what createInbox resolves to/],
      ['inbox', Promise.resolve(inbox), /inbox must be what createInbox resolves to/],
      ['maxBodyBytes', 0, /maxBodyBytes must be a whole number of bytes from 1 to 33554432/],
      ['maxBodyBytes', '1 MiB', /maxBodyBytes must be a whole number/],
      ['problemType', 'tag:', /problemType must be a function/],
      ['log', unused, /log must be an object with debug, info, warn and error/],
      ['max_body', 5, /max_body is not an option of/],
    ] as const) {
      it(`of ${create.name} are refused: ${name} = ${typeof value === 'object' ? 'an object' : String(value)}`, () => {
        refuses(() => create({ ...right, [name]: value } as never), problem);
      });
    }

    it(`of ${create.name} are refused if there are none`, () => {
      for (const nothing of [undefined, null, 'options'])
        refuses(() => create(nothing as never), /needs an object with options/);
    });
  }

  for (const [name, value, problem] of [
    ['command', { type: 'PlaceOrder' }, /command must be a command or a contract/],
    ['messageId', 'orders/', /messageId must be a function/],
    ['wait', -1, /wait must be a whole number of milliseconds from 0 to 300000/],
    ['wait', 300_001, /wait must be a whole number/],
    ['wait', 0.5, /wait must be a whole number/],
    ['wait', Number.NaN, /wait must be a whole number/],
    ['wait', '2s', /wait must be a whole number/],
    ['path', 'orders', /path must be a path such as \/orders/],
    ['path', '/orders/', /path must be a path/],
    ['path', '/orders?a', /path must be a path/],
    ['toMessage', {}, /toMessage must be a function/],
    ['send', true, /send must be a function/],
    ['describe', null, /describe must be a function/],
  ] as const) {
    it(`of commandEndpoint are refused: ${name} = ${JSON.stringify(value)}`, () => {
      const options = { inbox, command, messageId, [name]: value };
      refuses(() => commandEndpoint(options as never), problem);
    });
  }

  it('of webhookEndpoint are refused without verify and toMessage, and all problems are named', () => {
    refuses(
      () => webhookEndpoint({ inbox } as never),
      /verify must be a function; toMessage must be a function/,
    );
  });

  it('of toNodeListener are refused', () => {
    refuses(() => toNodeListener({ fetch: unused } as never), /handler must be a function/);
    refuses(
      () => toNodeListener(unused, { timeout: 5 } as never),
      /timeout is not an option of toNodeListener/,
    );
  });

  it('of HttpProblem are refused: a status that is no error', () => {
    for (const status of [200, 399, 600, 404.5]) refuses(() => new HttpProblem(status, 'a', 'b'), /status/);
  });
});

const SECRET = `whsec_${Buffer.from('at least twenty-four bytes').toString('base64')}`;

describe('the secrets of webhooks', () => {
  for (const scheme of [standardWebhooks, githubWebhook, stripeWebhook]) {
    it(`of ${scheme.name} are text, or a list of texts`, () => {
      assert.equal(typeof scheme(SECRET), 'function');
      assert.equal(typeof scheme([SECRET, SECRET]), 'function');
      for (const wrong of [undefined, null, 5, [], [undefined], {}]) {
        refuses(() => scheme(wrong as never), new RegExp(`^${scheme.name}: secret must be text, or a list`));
      }
    });

    it(`of ${scheme.name} are not empty and have no white space around them`, () => {
      refuses(() => scheme(''), /secret is empty/);
      refuses(() => scheme([SECRET, '']), /secret is empty/);
      refuses(() => scheme(`${SECRET}\n`), /secret begins or ends with white space$/);
    });
  }

  it('of Standard Webhooks are base64 of at least 24 bytes, and are not shown', () => {
    const short = Buffer.from('short').toString('base64');
    for (const wrong of [`whsec_${short}`, 'whsec_%', 'whsec_not base64!', `whpk_${SECRET}`, `${SECRET}%`]) {
      assert.throws(
        () => standardWebhooks(wrong),
        (error: Error) =>
          /secret must be whsec_ and the base64/.test(error.message) && !error.message.includes(wrong),
      );
    }
    // Without the prefix and without padding, as some providers show it.
    assert.equal(typeof standardWebhooks(SECRET.slice('whsec_'.length).replace(/=+$/, '')), 'function');
  });

  it('have a maximum age from 1 ms to a day', () => {
    for (const scheme of [standardWebhooks, stripeWebhook]) {
      assert.equal(typeof scheme(SECRET, { maxAgeMs: 86_400_000 }), 'function');
      for (const maxAgeMs of [0, 86_400_001, '5m'])
        refuses(() => scheme(SECRET, { maxAgeMs: maxAgeMs as never }), /maxAgeMs must be a whole number/);
      refuses(() => scheme(SECRET, { tolerance: 5 } as never), /tolerance is not an option/);
    }
  });
});
