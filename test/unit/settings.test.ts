import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { settingsFromEnv } from '../../src/settings.ts';
import { readDatabaseUrl, readDirectUrl } from '../../src/platform/postgres-url.ts';
import { readTemporal } from '../../src/temporal/connection-config.ts';
import { ConfigurationError } from '../../src/core/errors.ts';

function refused(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.message;
  }
  throw new assert.AssertionError({ message: 'no error was thrown' });
}

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const OLD_SECRET = `whsec_${Buffer.alloc(24, 2).toString('base64')}`;

describe('settings', () => {
  it('have defaults', () => {
    assert.deepEqual(settingsFromEnv({}), {
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
      temporalUiUrl: null,
      traceQueries: true,
      traceQueryText: false,
      traceErrorMessages: false,
    });
  });

  it('come from the environment', () => {
    const settings = settingsFromEnv({
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
      INBOX_TEMPORAL_UI_URL: 'https://temporal.example.com/ui',
      INBOX_TRACE_QUERIES: 'false',
      INBOX_TRACE_QUERY_TEXT: 'true',
      INBOX_TRACE_ERROR_MESSAGES: '',
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
      temporalUiUrl: 'https://temporal.example.com/ui',
      traceQueries: false,
      traceQueryText: true,
      traceErrorMessages: false,
    });
  });

  for (const [name, value, problem] of [
    ['INBOX_TRACE_QUERIES', 'yes', 'is neither true nor false'],
    ['INBOX_TASK_QUEUE', 'x'.repeat(201), 'is longer than 200'],
    ['INBOX_MAX_PAYLOAD_BYTES', '1048577', 'is above 1048576'],
    ['INBOX_MAX_PAYLOAD_BYTES', '1MB', 'is not a number'],
    ['INBOX_CONCURRENCY', '0', 'is below 1'],
    ['INBOX_CONCURRENCY', '-3', 'is below 1'],
    ['INBOX_CONCURRENCY', '1.5', 'is not a whole number'],
    ['INBOX_CONCURRENCY', '1001', 'is above 1000'],
    ['INBOX_EXPRESS_CONCURRENCY', '0', 'is below 1'],
    ['INBOX_RETRY_CONCURRENCY', 'many', 'is not a number'],
    ['INBOX_RETRY_CONCURRENCY', 'Infinity', 'is not'],
    ['INBOX_SHUTDOWN_GRACE', 'soon', 'is not a duration'],
    ['INBOX_SHUTDOWN_GRACE', '61m', 'is not a duration of at most an hour'],
    ['INBOX_SHUTDOWN_GRACE', '-1s', 'is not a duration'],
    ['INBOX_WATCHDOG', 'off', 'is neither 0'],
    ['INBOX_WATCHDOG', '1s', 'is neither 0 (off) nor a duration between 2s'],
    ['INBOX_WATCHDOG', '2h', 'is neither 0'],
    ['INBOX_ALERT_WINDOW', '25h', 'is not a duration of at most a day'],
    ['INBOX_ALERT_GIVE_UP', '0', 'is not a duration between a minute and 30 days'],
    ['INBOX_ALERT_ALLOW_HTTP', 'yes', 'is neither true nor false'],
  ] as const) {
    it(`refuse ${name}=${value.slice(0, 20)}`, () => {
      const message = refused(() => settingsFromEnv({ [name]: value }));
      assert.ok(message.startsWith(`${name} (${JSON.stringify(value)}) ${problem}`), message);
    });
  }

  for (const [value, problem] of [
    ['temporal.example.com', 'is not a URL'],
    ['ftp://temporal.example.com', 'is neither an https nor an http URL'],
    ['https://ada:swordfish@temporal.example.com', 'contains a user or a password'],
    ['https://temporal.example.com/?namespace=x', 'has a query or a fragment'],
  ] as const) {
    it(`refuse INBOX_TEMPORAL_UI_URL=${value} without repeating it`, () => {
      const message = refused(() => settingsFromEnv({ INBOX_TEMPORAL_UI_URL: value }));
      assert.ok(message.startsWith(`INBOX_TEMPORAL_UI_URL ${problem}`), message);
      assert.doesNotMatch(message, /swordfish/);
    });
  }

  it('are not set if the variable is empty, as in Compose', () => {
    const names = [
      'TASK_QUEUE',
      'MAX_PAYLOAD_BYTES',
      'CONCURRENCY',
      'EXPRESS_CONCURRENCY',
      'RETRY_CONCURRENCY',
      'SHUTDOWN_GRACE',
      'WATCHDOG',
      'ALERT_URL',
      'ALERT_SECRET',
      'ALERT_ALLOW_HTTP',
      'ALERT_WINDOW',
      'ALERT_GIVE_UP',
      'TEMPORAL_UI_URL',
    ];
    for (const nothing of ['', ' ', '\r\n']) {
      const env = Object.fromEntries(names.map((name) => [`INBOX_${name}`, nothing]));
      assert.deepEqual(settingsFromEnv(env), settingsFromEnv({}));
    }
  });

  it('are read without surrounding whitespace and byte order marks', () => {
    const { taskQueue, concurrency, shutdownGraceMs, webhook } = settingsFromEnv({
      INBOX_TASK_QUEUE: '\ufeffbank\r\n',
      INBOX_CONCURRENCY: ' 8\n',
      INBOX_SHUTDOWN_GRACE: '5s\r',
      INBOX_ALERT_URL: 'https://hooks.example.com/x\n',
      INBOX_ALERT_SECRET: `${SECRET}\n${OLD_SECRET}\n`,
    });
    assert.deepEqual([taskQueue, concurrency, shutdownGraceMs], ['bank', 8, 5_000]);
    assert.deepEqual(webhook, { url: 'https://hooks.example.com/x', secrets: [SECRET, OLD_SECRET] });
  });

  it('are refused in quotes, which an env file of Docker keeps', () => {
    for (const value of ['"bank"', "'bank'"]) {
      assert.match(
        refused(() => settingsFromEnv({ INBOX_TASK_QUEUE: value })),
        /^INBOX_TASK_QUEUE is in quotes/,
      );
    }
  });

  it('are refused with a line break inside', () => {
    const message = refused(() => settingsFromEnv({ INBOX_TASK_QUEUE: 'bank\nINBOX_CONCURRENCY=4' }));
    assert.match(message, /^INBOX_TASK_QUEUE has a line break/);
  });

  it('of the webhook are not set if they are empty', () => {
    assert.equal(settingsFromEnv({ INBOX_ALERT_URL: '', INBOX_ALERT_SECRET: '' }).webhook, null);
  });

  for (const url of [
    'https://hooks.example.com',
    'http://localhost:8080/x',
    'http://127.0.0.1',
    'http://[::1]/',
  ]) {
    it(`accept ${url} for a webhook`, () => {
      const { webhook } = settingsFromEnv({ INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: SECRET });
      assert.deepEqual(webhook, { url, secrets: [SECRET] });
    });
  }

  it('accept http to another host if it is allowed', () => {
    const url = 'http://hooks.internal/inbox';
    const env = { INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: SECRET, INBOX_ALERT_ALLOW_HTTP: 'true' };
    assert.equal(settingsFromEnv(env).webhook?.url, url);
  });

  for (const [what, env, problem] of [
    ['text that is not a URL', { INBOX_ALERT_URL: 'canary' }, /^INBOX_ALERT_URL is not a URL/],
    ['another protocol', { INBOX_ALERT_URL: 'ftp://canary/x' }, /^INBOX_ALERT_URL is neither an https/],
    [
      'a password with a bare %',
      { INBOX_ALERT_URL: 'https://a%:41canary@h/x' },
      /^INBOX_ALERT_URL has a user or password with a %/,
    ],
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
    [
      'a secret that is not base64',
      { INBOX_ALERT_SECRET: `whsec_canary-${'x'.repeat(40)}` },
      /is not whsec_/,
    ],
    [
      'a short secret',
      { INBOX_ALERT_SECRET: `whsec_${Buffer.alloc(23).toString('base64')}` },
      /of 24 to 64 bytes/,
    ],
    ['one invalid secret of two', { INBOX_ALERT_SECRET: `${SECRET} whsec_canary` }, /is not whsec_/],
  ] as const) {
    it(`refuse a webhook with ${what}, without repeating it`, () => {
      const whole = {
        INBOX_ALERT_URL: 'https://hooks.example.com/canary',
        INBOX_ALERT_SECRET: SECRET,
        ...env,
      };
      const message = refused(() => settingsFromEnv(whole));
      assert.match(message, problem);
      assert.doesNotMatch(message, /canary|AQEB/);
    });
  }

  it('name all invalid variables at once', () => {
    const message = refused(() => settingsFromEnv({ INBOX_CONCURRENCY: 'x', INBOX_SHUTDOWN_GRACE: 'y' }));
    assert.match(message, /INBOX_CONCURRENCY.*; INBOX_SHUTDOWN_GRACE/);
  });
});

describe('DATABASE_URL', () => {
  it('is returned unchanged', () => {
    for (const url of ['postgres://a@h/d', 'postgresql://a:b@h:5432/d?sslmode=require']) {
      assert.equal(readDatabaseUrl({ DATABASE_URL: url }), url);
    }
  });

  it('is requested if it is missing', () => {
    for (const env of [{}, { DATABASE_URL: '' }, { DATABASE_URL: undefined }]) {
      assert.match(
        refused(() => readDatabaseUrl(env)),
        /DATABASE_URL is not set: .*inbox dev/,
      );
    }
  });

  it('is never repeated, because it may contain a password', () => {
    const message = refused(() => readDatabaseUrl({ DATABASE_URL: 'mysql://root:s3cret@h/d' }));
    assert.match(message, /DATABASE_URL is not a postgres:\/\/ URL/);
    assert.doesNotMatch(message, /s3cret/);
  });
});

describe('a URL with a reserved character in its password', () => {
  for (const url of [
    'postgres://u:12/34@h/d',
    'postgres://u:12?34@h/d',
    'postgres://u:12#34@h/d',
    'postgres://u/34@h',
  ]) {
    it(`is refused: ${url}`, () => {
      const message = refused(() => readDatabaseUrl({ DATABASE_URL: url }));
      assert.match(message, /^DATABASE_URL has a user or password .*%2F for \//);
      assert.doesNotMatch(message, /12|34/);
    });
  }

  for (const url of [
    'postgres://h/d?user=a@b&password=c',
    'postgres://u:p@h/a@b',
    'postgres:///d?host=/run',
    'postgres://u:p@@h/d',
  ]) {
    it(`does not include ${url}`, () => {
      assert.equal(readDatabaseUrl({ DATABASE_URL: url }), url);
    });
  }

  it('is refused as the address of Temporal', () => {
    const message = refused(() => readTemporal({ TEMPORAL_ADDRESS: 'u:canary@h:7233' }));
    assert.match(message, /use host:port/);
    assert.doesNotMatch(message, /canary/);
  });
});

describe('INBOX_DIRECT_URL', () => {
  it('is a postgres:// URL, or null', () => {
    const url = 'postgres://user:secret@host/inbox';
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: url }), url);
    assert.equal(readDirectUrl({}), null);
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: '' }), null);
  });

  it('is never repeated in an error', () => {
    const message = refused(() => readDirectUrl({ INBOX_DIRECT_URL: 'mysql://user:secret@host/inbox' }));
    assert.match(message, /INBOX_DIRECT_URL is not a postgres:\/\/ URL/);
    assert.doesNotMatch(message, /secret/);
  });
});

describe('URLs and keys from files', () => {
  it('are read without the line break at their end', () => {
    const url = 'postgres://a:b@h/d';
    assert.equal(readDatabaseUrl({ DATABASE_URL: `${url}\n` }), url);
    assert.equal(readDatabaseUrl({ DATABASE_URL: `\ufeff${url}\r\n` }), url);
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: `${url}\n` }), url);
    assert.equal(readDirectUrl({ INBOX_DIRECT_URL: '\n' }), null);
    const { connectionOptions, namespace } = readTemporal({
      TEMPORAL_ADDRESS: ' temporal:7233\r\n',
      TEMPORAL_NAMESPACE: 'bank\n',
      TEMPORAL_API_KEY: 'canary-key-4711\n',
      TEMPORAL_TLS: '',
      TEMPORAL_GRPC_META_AUTHORIZATION: 'canary-header-4711\n',
    });
    assert.deepEqual(
      [connectionOptions.address, namespace, connectionOptions.apiKey],
      ['temporal:7233', 'bank', 'canary-key-4711'],
    );
    assert.deepEqual(connectionOptions.metadata, { authorization: 'canary-header-4711' });
  });

  it('leave the default if they are empty', () => {
    const env = {
      TEMPORAL_ADDRESS: 'h:7233',
      TEMPORAL_NAMESPACE: '',
      TEMPORAL_API_KEY: '',
      TEMPORAL_TLS: '',
    };
    const { connectionOptions, namespace } = readTemporal(env);
    assert.deepEqual(
      [namespace, connectionOptions.apiKey, connectionOptions.tls],
      ['default', undefined, undefined],
    );
  });

  for (const [what, env] of [
    ['a line break inside', { TEMPORAL_API_KEY: 'canary-key\nmore' }],
    ['a character that a header cannot contain', { TEMPORAL_API_KEY: 'canary-key-\u00fc' }],
    ['quotes', { TEMPORAL_API_KEY: '"canary-key"' }],
    ['a header with a line break', { TEMPORAL_GRPC_META_AUTHORIZATION: 'canary\nx' }],
  ] as const) {
    it(`are refused with ${what}, without repeating it`, () => {
      const message = refused(() => readTemporal({ TEMPORAL_ADDRESS: 'h:7233', ...env }));
      assert.match(message, /^(TEMPORAL_API_KEY|TEMPORAL_GRPC_META_AUTHORIZATION) (is in quotes|has a )/);
      assert.doesNotMatch(message, /canary/);
    });
  }

  it('are not repeated if a database URL is in quotes', () => {
    const message = refused(() => readDatabaseUrl({ DATABASE_URL: '"postgres://a:canary@h/d"' }));
    assert.match(message, /^DATABASE_URL is in quotes/);
    assert.doesNotMatch(message, /canary/);
  });

  it('are not repeated if a profile file is not valid TOML', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'inbox-config-'));
    try {
      const file = join(folder, 'temporal.toml');
      await writeFile(file, '[profile.default]\napi_key = "canary-key-4711\n');
      const message = refused(() => readTemporal({ TEMPORAL_CONFIG_FILE: file }));
      assert.match(message, /^the Temporal settings are invalid/);
      assert.doesNotMatch(message, /canary/);
      await writeFile(file, '[profile.default]\naddress = "h:1"\napi_key = "canary-key-4711\\n"\n');
      assert.equal(readTemporal({ TEMPORAL_CONFIG_FILE: file }).connectionOptions.apiKey, 'canary-key-4711');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
