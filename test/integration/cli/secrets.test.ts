/**
 * No command prints a secret, even if the secret is malformed.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { createCli, runCli, startCli } from '../../support/cli.ts';
import type { Cli, CliEnvironment } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const KEY = 'canary-key-4711';
const HEADER = 'canary-header-4711';
const SECRET = `whsec_canary${Buffer.alloc(24, 7).toString('base64')}`;
const MODULE = fileURLToPath(new URL('../../support/cli-commands.js', import.meta.url));

const COMMANDS: string[][] = [
  ['doctor'],
  ['doctor', '--json'],
  ['setup'],
  ['migrate'],
  ['list'],
  ['stats'],
  ['show', 'x'],
  ['replay', 'x', '--reason', 'y'],
  ['replay', '--group', 'x', '--yes'],
  ['discard', 'x', '--reason', 'y'],
  ['restore', 'x'],
  ['campaigns'],
  ['dead-letters'],
  ['worker', MODULE],
];

const SPOILED: Record<string, (secret: string) => string> = {
  'with a line break at its end': (secret) => `${secret}\n`,
  'with a line break inside': (secret) => `${secret}\nmore`,
  'with a character that is invalid in a header': (secret) => `${secret}\u00fc`,
  'in quotes': (secret) => `"${secret}"`,
};

describe('a secret', () => {
  let fixture: TestInbox;
  let cli: Cli;

  before(async () => {
    fixture = await createTestInbox();
    cli = createCli(fixture);
  });
  after(() => fixture.close());

  for (const [how, spoil] of Object.entries(SPOILED)) {
    it(`${how} is not printed by any command`, async () => {
      const env: CliEnvironment = {
        TEMPORAL_API_KEY: spoil(KEY),
        TEMPORAL_GRPC_META_X_TOKEN: spoil(HEADER),
        TEMPORAL_TLS: 'false',
        INBOX_ALERT_URL: spoil('https://ada:canary-url@hooks.example.com/canary'),
        INBOX_ALERT_SECRET: spoil(SECRET),
        INBOX_LOG_LEVEL: 'debug',
      };
      for (const args of COMMANDS) {
        // With a reachable database, the worker would keep running.
        const url = args[0] === 'worker' && { DATABASE_URL: 'postgres://ada:canary-pass@127.0.0.1:1/x' };
        const { stdout, stderr } = await cli.run(args, { ...env, ...url });
        assert.doesNotMatch(`${stdout}${stderr}`, /canary/, args.join(' '));
      }
    });
  }

  it('in an argument is not printed by any command', async () => {
    for (const args of [
      ['worker', MODULE, '--publish', 'wss://ada:canary-pass@127.0.0.1:4222'],
      ['worker', MODULE, '--publish', 'ada:canary-pass@127.0.0.1:4222'],
      ['worker', 'postgres://ada:canary-pass@127.0.0.1/x'],
      ['nats://ada:canary-pass@127.0.0.1:4222'],
      ['list', '--nats://canary-token@127.0.0.1:4222'],
    ]) {
      for (const more of [[], ['--json']]) {
        const { code, stdout, stderr } = await cli.run([...args, ...more]);
        assert.notEqual(code, 0);
        assert.match(stderr, /./);
        assert.doesNotMatch(`${stdout}${stderr}`, /canary/, args.join(' '));
      }
    }
  });

  it('in a malformed URL is not printed by any command', async () => {
    for (const url of [
      'postgres://ada:4711/canary@127.0.0.1:1/x',
      'postgres://ada:4711?canary@127.0.0.1:1/x',
      'postgres://ada:4711#canary@127.0.0.1:1/x',
      'postgres://ada:4711 canary@127.0.0.1:1/x',
      'postgres://127.0.0.1:1/x?user=ada&password=canary4711',
    ]) {
      const { code, stdout, stderr } = await runCli(['list'], { DATABASE_URL: url });
      assert.equal(code, 1);
      assert.doesNotMatch(`${stdout}${stderr}`, /canary|4711/, url);
    }
    const { stderr } = await cli.run(['setup'], { TEMPORAL_ADDRESS: 'ada:canary-pass@127.0.0.1:7233' });
    assert.match(stderr, /use host:port/);
    assert.doesNotMatch(stderr, /canary/);
  });

  it('of the database is not printed by `inbox dev`, but is in the settings file that it writes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'secrets-dev-'));
    try {
      const { url } = fixture.database;
      const dev = startCli(['dev', '--dir', folder, '--json'], { DATABASE_URL: url });
      await dev.says(/In another terminal/);
      dev.kill('SIGINT');
      const { code, stdout, stderr } = await dev.result;
      assert.equal(code, 0, stderr);
      const { environment, databaseUrl } = JSON.parse(stdout) as { environment: string; databaseUrl: string };
      const { password } = new URL(url);
      assert.ok(password.length > 0 && !`${stdout}${stderr}`.includes(password));
      assert.equal(databaseUrl, url.replace(password, '***'));
      assert.ok((await readFile(environment, 'utf8')).includes(url));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('with a line break at its end works', async () => {
    const { code, stdout, stderr } = await cli.run(['list'], {
      DATABASE_URL: `${fixture.database.url}\n`,
      TEMPORAL_API_KEY: `${KEY}\n`,
      INBOX_CONCURRENCY: '',
    });
    assert.equal(code, 0, stdout + stderr);
  });
});
