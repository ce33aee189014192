/** The address of `inbox worker --http`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { httpAddressFromEnv, parseHttpAddress } from '../../../src/cli/telemetry/http-address.ts';

describe('parseHttpAddress', () => {
  for (const [text, host, port] of [
    ['9464', '127.0.0.1', 9464],
    ['0.0.0.0:9464', '0.0.0.0', 9464],
    ['[::]:80', '::', 80],
    ['localhost:0', 'localhost', 0],
    [' 9464 ', '127.0.0.1', 9464],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => {
      assert.deepEqual(parseHttpAddress(text), { host, port });
    });
  }

  for (const text of [
    '',
    'http',
    ':9464',
    '65536',
    '-1',
    '::1:9464',
    'a:b:1',
    '1.5',
    'http://localhost:9464',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.equal(parseHttpAddress(text), null);
    });
  }
});

describe('INBOX_HTTP', () => {
  it('is optional, and must be an address', () => {
    assert.equal(httpAddressFromEnv({}), null);
    assert.equal(httpAddressFromEnv({ INBOX_HTTP: '' }), null);
    assert.deepEqual(httpAddressFromEnv({ INBOX_HTTP: '9464\n' }), { host: '127.0.0.1', port: 9_464 });
    assert.throws(() => httpAddressFromEnv({ INBOX_HTTP: 'x' }), {
      name: 'ConfigurationError',
      message: /^INBOX_HTTP \("x"\) must be a port, such as 9464/,
    });
  });
});
