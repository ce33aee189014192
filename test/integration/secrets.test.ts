/**
 * No command prints a secret, whatever is wrong with it.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { createCli } from '../support/cli.ts';
import type { Cli, CliEnvironment } from '../support/cli.ts';
import { createTestInbox } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';

const KEY = 'canary-key-4711';
const HEADER = 'canary-header-4711';
const SECRET = `whsec_canary${Buffer.alloc(24, 7).toString('base64')}`;
const MODULE = fileURLToPath(new URL('../support/cli-commands.js', import.meta.url));

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
  'with a character that no header has': (secret) => `${secret}\u00fc`,
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
    it(`${how} is printed by no command`, async () => {
      const env: CliEnvironment = {
        TEMPORAL_API_KEY: spoil(KEY),
        TEMPORAL_GRPC_META_X_TOKEN: spoil(HEADER),
        TEMPORAL_TLS: 'false',
        INBOX_ALERT_URL: spoil('https://ada:canary-url@hooks.example.com/canary'),
        INBOX_ALERT_SECRET: spoil(SECRET),
        INBOX_LOG_LEVEL: 'debug',
      };
      for (const args of COMMANDS) {
        // A worker that reached its database would go on.
        const url = args[0] === 'worker' && { DATABASE_URL: 'postgres://ada:canary-pass@127.0.0.1:1/x' };
        const { stdout, stderr } = await cli.run(args, { ...env, ...url });
        assert.doesNotMatch(`${stdout}${stderr}`, /canary/, args.join(' '));
      }
    });
  }

  it('with a line break at its end works', async () => {
    const { code, stdout, stderr } = await cli.run(['list'], {
      DATABASE_URL: `${fixture.database.url}\n`,
      TEMPORAL_API_KEY: `${KEY}\n`,
      INBOX_CONCURRENCY: '',
    });
    assert.equal(code, 0, stdout + stderr);
  });
});
