import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readDatabaseUrl, readDirectUrl, readSettings } from '../../src/config.ts';
import { ConfigurationError } from '../../src/errors.ts';

function refused(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.message;
  }
  throw new assert.AssertionError({ message: 'was taken' });
}

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const OLD_SECRET = `whsec_${Buffer.alloc(24, 2).toString('base64')}`;

describe('settings', () => {
  it('have defaults', () => {
    assert.deepEqual(readSettings({}), {
      taskQueue: 'inbox',
      maxPayloadBytes: 1_048_576,
      concurrency: 32,
      expressConcurrency: 32,
      retryConcurrency: 16,
      shutdownGraceMs: 20_000,
      watchdogMs: 30_000,
      webhook: null,
      alertWindowMs: 60_000,
      alertGiveUpMs: 3 * 86_400_000,
    });
  });

  it('come from the environment', () => {
    const settings = readSettings({
      INBOX_TASK_QUEUE: 'bank',
      INBOX_MAX_PAYLOAD_BYTES: '4096',
      INBOX_CONCURRENCY: '1',
      INBOX_EXPRESS_CONCURRENCY: '24',
      INBOX_RETRY_CONCURRENCY: '1000',
      INBOX_SHUTDOWN_GRACE: '1h',
      INBOX_WATCHDOG: '0',
      INBOX_ALERT_URL: 'https://ada:pass@hooks.example.com/inbox?key=1',
      INBOX_ALERT_SECRET: ` ${SECRET}  ${OLD_SECRET}`,
      INBOX_ALERT_WINDOW: '5m',
      INBOX_ALERT_GIVE_UP: '12h',
      SOMETHING_ELSE: 'x',
    });
    assert.deepEqual(settings, {
      taskQueue: 'bank',
      maxPayloadBytes: 4_096,
      concurrency: 1,
      expressConcurrency: 24,
      retryConcurrency: 1_000,
      shutdownGraceMs: 3_600_000,
      watchdogMs: 0,
      webhook: { url: 'https://ada:pass@hooks.example.com/inbox?key=1', secrets: [SECRET, OLD_SECRET] },
      alertWindowMs: 300_000,
      alertGiveUpMs: 12 * 3_600_000,
    });
  });

  for (const [name, value, problem] of [
    ['INBOX_TASK_QUEUE', '', 'is empty'],
    ['INBOX_TASK_QUEUE', 'x'.repeat(201), 'is longer than 200'],
    ['INBOX_MAX_PAYLOAD_BYTES', '1048577', 'is above 1048576'],
    ['INBOX_MAX_PAYLOAD_BYTES', '1MB', 'is no number'],
    ['INBOX_CONCURRENCY', '0', 'is below 1'],
    ['INBOX_CONCURRENCY', '-3', 'is below 1'],
    ['INBOX_CONCURRENCY', '1.5', 'is no whole number'],
    ['INBOX_CONCURRENCY', '', 'is below 1'],
    ['INBOX_CONCURRENCY', '1001', 'is above 1000'],
    ['INBOX_EXPRESS_CONCURRENCY', '0', 'is below 1'],
    ['INBOX_RETRY_CONCURRENCY', 'many', 'is no number'],
    ['INBOX_RETRY_CONCURRENCY', 'Infinity', 'is no'],
    ['INBOX_SHUTDOWN_GRACE', 'soon', 'is no duration'],
    ['INBOX_SHUTDOWN_GRACE', '61m', 'is no duration of at most an hour'],
    ['INBOX_SHUTDOWN_GRACE', '-1s', 'is no duration'],
    ['INBOX_WATCHDOG', 'off', 'is neither 0'],
    ['INBOX_WATCHDOG', '1s', 'is neither 0 (off) nor a duration between 2s'],
    ['INBOX_WATCHDOG', '2h', 'is neither 0'],
    ['INBOX_ALERT_WINDOW', '25h', 'is no duration of at most a day'],
    ['INBOX_ALERT_GIVE_UP', '0', 'is no duration between a minute and 30 days'],
    ['INBOX_ALERT_ALLOW_HTTP', 'yes', 'is neither true nor false'],
  ] as const) {
    it(`refuse ${name}=${value.slice(0, 20)}`, () => {
      const message = refused(() => readSettings({ [name]: value }));
      assert.ok(message.startsWith(`${name} (${JSON.stringify(value)}) ${problem}`), message);
    });
  }

  it('of the webhook that are empty are not set', () => {
    assert.equal(readSettings({ INBOX_ALERT_URL: '', INBOX_ALERT_SECRET: '' }).webhook, null);
  });

  for (const url of [
    'https://hooks.example.com',
    'http://localhost:8080/x',
    'http://127.0.0.1',
    'http://[::1]/',
  ]) {
    it(`take ${url} for a webhook`, () => {
      const { webhook } = readSettings({ INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: SECRET });
      assert.deepEqual(webhook, { url, secrets: [SECRET] });
    });
  }

  it('take http to another host where that is allowed', () => {
    const url = 'http://hooks.internal/inbox';
    const env = { INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: SECRET, INBOX_ALERT_ALLOW_HTTP: 'true' };
    assert.equal(readSettings(env).webhook?.url, url);
  });

  for (const [what, env, problem] of [
    ['no URL', { INBOX_ALERT_URL: 'canary' }, /^INBOX_ALERT_URL is no URL/],
    ['another protocol', { INBOX_ALERT_URL: 'ftp://canary/x' }, /^INBOX_ALERT_URL is neither an https/],
    [
      'http to another host',
      { INBOX_ALERT_URL: 'http://localhost.canary/x' },
      /^INBOX_ALERT_URL is http.*ALLOW_HTTP/,
    ],
    [
      'a URL without a secret',
      { INBOX_ALERT_SECRET: ' ' },
      /^INBOX_ALERT_SECRET is not set, but .*openssl rand/,
    ],
    [
      'a secret without its prefix',
      { INBOX_ALERT_SECRET: SECRET.slice(6) },
      /^INBOX_ALERT_SECRET is not whsec_/,
    ],
    ['a secret that is no base64', { INBOX_ALERT_SECRET: `whsec_canary-${'x'.repeat(40)}` }, /is not whsec_/],
    [
      'a short secret',
      { INBOX_ALERT_SECRET: `whsec_${Buffer.alloc(23).toString('base64')}` },
      /of 24 to 64 bytes/,
    ],
    ['one bad secret of two', { INBOX_ALERT_SECRET: `${SECRET} whsec_canary` }, /is not whsec_/],
  ] as const) {
    it(`refuse a webhook with ${what}, and do not repeat it`, () => {
      const whole = {
        INBOX_ALERT_URL: 'https://hooks.example.com/canary',
        INBOX_ALERT_SECRET: SECRET,
        ...env,
      };
      const message = refused(() => readSettings(whole));
      assert.match(message, problem);
      assert.doesNotMatch(message, /canary|AQEB/);
    });
  }

  it('name every variable that is wrong at once', () => {
    const message = refused(() => readSettings({ INBOX_CONCURRENCY: 'x', INBOX_SHUTDOWN_GRACE: 'y' }));
    assert.match(message, /INBOX_CONCURRENCY.*; INBOX_SHUTDOWN_GRACE/);
  });
});

describe('DATABASE_URL', () => {
  it('is taken as it is', () => {
    for (const url of ['postgres://a@h/d', 'postgresql://a:b@h:5432/d?sslmode=require']) {
      assert.equal(readDatabaseUrl({ DATABASE_URL: url }), url);
    }
  });

  it('is asked for where it is missing', () => {
    for (const env of [{}, { DATABASE_URL: '' }, { DATABASE_URL: undefined }]) {
      assert.match(
        refused(() => readDatabaseUrl(env)),
        /DATABASE_URL is not set: .*inbox dev/,
      );
    }
  });

  it('is never repeated, as it may hold a password', () => {
    const message = refused(() => readDatabaseUrl({ DATABASE_URL: 'mysql://root:s3cret@h/d' }));
    assert.match(message, /DATABASE_URL is no postgres:\/\/ URL/);
    assert.doesNotMatch(message, /s3cret/);
  });
});

describe('INBOX_DIRECT_URL', () => {
  it('is a postgres:// URL, or not there', () => {
    const url = 'postgres://user:secret@host/inbox';
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: url }), url);
    assert.equal(readDirectUrl({}), null);
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: '' }), null);
  });

  it('is never repeated in an error', () => {
    const message = refused(() => readDirectUrl({ INBOX_DIRECT_URL: 'mysql://user:secret@host/inbox' }));
    assert.match(message, /INBOX_DIRECT_URL is no postgres:\/\/ URL/);
    assert.doesNotMatch(message, /secret/);
  });
});
