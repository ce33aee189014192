import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { registerSecret, maskSecrets } from '../../../src/platform/secrets.ts';

describe('maskSecrets', () => {
  for (const [text, hidden] of [
    ['no answer from postgres://u:p%40ss@h/d', 'no answer from postgres://u:***@h/d'],
    ['postgres://u:p@ss:w/o@h/d', 'postgres://u:***@h/d'],
    ['postgresql+ssl://u:canary@h', 'postgresql+ssl://u:***@h'],
    ['redis://:canary@h', 'redis://:***@h'],
    ['nats://canary-token@h:4222', 'nats://***@h:4222'],
    ['https://ghp_canary@github.com/x', 'https://***@github.com/x'],
    // Node creates this path when a NATS URL is mistaken for a module.
    ["Cannot find module '/app/nats:/u:canary@h'", "Cannot find module '/app/nats:/u:***@h'"],
    [
      'postgres://h/d?user=u&password=canary&sslmode=require',
      'postgres://h/d?user=u&password=***&sslmode=require',
    ],
    ['https://h/x?sv=1&sig=canary%2F#top', 'https://h/x?sv=1&sig=***'],
    ['"https://h/x?api_key=canary"', '"https://h/x?api_key=***"'],
    ['https://h/x?X-Amz-Security-Token=canary&a=1', 'https://h/x?X-Amz-Security-Token=***&a=1'],
    ['https://h/x?ACCESS_TOKEN=canary', 'https://h/x?ACCESS_TOKEN=***'],
    ['sent authorization: Bearer canary.4711-x', 'sent authorization: Bearer ***'],
    [`{ Authorization: 'Basic Y2FuYXJ5Og==' }`, `{ Authorization: 'Basic ***' }`],
    ['host=db user=u password=canary dbname=d', 'host=db user=u password=*** dbname=d'],
    ['{"apiKey":"canary","client_secret": "canary"}', '{"apiKey":"***","client_secret": "***"}'],
    ["{ user: 'u', password: 'canary' }", "{ user: 'u', password: '***' }"],
    ['"password":"c&a,na;ry"', '"password":"***"'],
    ["password='my canary pass' x", "password='***' x"],
    [`"password":"it's \\"canary"`, '"password":"***"'],
    [String.raw`{\"password\":\"canary\",\"a\":1}`, String.raw`{\"password\":\"***\",\"a\":1}`],
    ['Basic dXNlcjpwYXNz', 'Basic ***'],
    ['authorization: bearer canary', 'authorization: bearer ***'],
  ] as const) {
    it(`masks the secret in ${text}`, () => {
      assert.equal(maskSecrets(text), hidden);
    });
  }

  it('does not change addresses, times and ids', () => {
    for (const text of [
      'connect ECONNREFUSED 127.0.0.1:5432',
      'https://example.com/inbox?page=2',
      'npm install @nats-io/transport-node',
      'order:1@shop at 12:30, mail ann@example.com',
      'temporal.example.com:7233/x?y',
      'password: must have 8 characters',
      'Basic functionality, a bearer instrument, Unexpected token < in JSON',
      'secret: none, primary_key="id"',
    ])
      assert.equal(maskSecrets(text), text);
  });

  it('masks registered secrets, even if one is the beginning of another or appears inside JSON', () => {
    registerSecret('canary-4711');
    registerSecret('canary-4711-tail\nnext-canary-line');
    registerSecret('canary"4711');
    assert.equal(maskSecrets('canary-4711-tail, canary-4711'), '***, ***');
    assert.equal(maskSecrets('a next-canary-line'), 'a ***');
    assert.equal(maskSecrets(JSON.stringify({ text: 'canary"4711' })), '{"text":"***"}');
  });

  it('masks the password of a registered URL, unless it is a plain word', () => {
    registerSecret('postgres://ann:canary%2D8899@h/d');
    registerSecret('postgres://postgres:postgres@h/d');
    assert.equal(maskSecrets('canary-8899, canary%2D8899'), '***, ***');
    assert.equal(maskSecrets('the postgres of postgres'), 'the postgres of postgres');
  });

  it('searches a megabyte in linear time', () => {
    for (const word of ['x', 'x-', '?', 'a.', 'Bearer ', 'token', 'secret = '])
      assert.equal(maskSecrets(word.repeat(1_000_000)), word.repeat(1_000_000));
  });
});
