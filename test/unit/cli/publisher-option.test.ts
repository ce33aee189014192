import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadPublisher } from '../../../src/cli/worker/publisher.ts';

describe('--publish', () => {
  for (const name of [
    'nats:u:canary@h',
    'nats:/u:canary@h',
    'nats://u:canary@',
    'nats://u:can%ary@h',
    'nats://u:canary/x@h',
    'nats://canary@h:port',
    'nats://h,u:canary@h:port',
    'NATS://u:canary@',
    'ws://u:canary@h',
    'wss://u:canary@h/path',
    'kafka://u:canary@h',
    'u:canary@h:4222',
    '//u:canary@h:4222',
  ]) {
    it(`refuses ${name.replace('canary', '…')} without repeating it in the error`, async () => {
      await assert.rejects(loadPublisher(name), (error: Error) => {
        assert.equal(error.name, 'ConfigurationError');
        assert.match(error.message, /nats:\/\/host|%25|could not be loaded/);
        assert.doesNotMatch(`${error.stack}${String(error.cause)}`, /canary/);
        return true;
      });
    });
  }

  it('accepts a URL scheme in upper case', async () => {
    const publisher = await loadPublisher('NATS://u:p@127.0.0.1:1');
    await publisher.close?.();
  });
});
