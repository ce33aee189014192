import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { Cli, CliResult } from '../../support/cli.ts';
import { createCli } from '../../support/cli.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const quick = defineCommand({ type: 'Quick', schema: z.unknown(), handle: () => 'done' });

/** Two valid lines and four invalid ones. */
function lines(id: (name: string) => string, prefix: string): string {
  return [
    JSON.stringify({ messageId: id(`${prefix}-1`), type: 'Quick', payload: 1 }),
    'no json',
    '',
    '[1]',
    JSON.stringify({ messageId: id(`${prefix}-2`), type: 'Quick' }),
    JSON.stringify({ type: 'Quick', payload: 1 }),
    JSON.stringify({
      messageId: id(`${prefix}-3`),
      type: 'Quick',
      payload: { b: 2 },
      correlationId: 'c',
    }),
  ].join('\n');
}

/** Checks the output for {@link lines}. With --json, stderr has one object for each refused line. */
function checkLines({ code, stdout, stderr }: CliResult): void {
  assert.equal(code, 1, 'some lines were refused');
  assert.deepEqual(JSON.parse(stdout), { accepted: 2, duplicate: 0, refused: 4 });
  const problems = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { line?: number; error: { name: string; message: string } });
  assert.deepEqual(
    problems.map(({ line }) => line),
    [2, 4, 5, 6, undefined],
  );
  for (const [index, message] of [
    /the line is not JSON/,
    /not a JSON object with messageId.*jq/,
    /payload is missing/,
    /messageId must be text/,
    /^4 lines were refused; the others were sent \(2 accepted, 0 duplicate\)/,
  ].entries()) {
    assert.match(problems[index]!.error.message, message);
  }
}

describe('the CLI', () => {
  let inbox: TestInbox;
  let empty: TestDatabase;
  let folder: string;
  let cli: Cli;

  before(async () => {
    inbox = await createTestInbox();
    empty = await createTestDatabase('empty');
    folder = await mkdtemp(join(tmpdir(), 'inbox-cli-'));
    cli = createCli(inbox);
    await inbox.startWorker([quick]);
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await empty.drop();
    await inbox.close();
  });

  describe('wrong usage and help', () => {
    for (const [args, message] of [
      [[], /Usage: inbox/],
      [['sned'], /unknown command 'sned'/],
      [['list', '--colour'], /unknown option '--colour'/],
      [['list', '--status', 'Dead'], /one of Pending, Processing, Completed, Failed, DeadLetter/],
      [['list', '--limit', '0'], /whole number from 1/],
      [['list', '--before', '17'], /UUID/],
      [['show'], /missing required argument 'message-id'/],
      [['show', 'a', 'b'], /too many arguments/],
      [['send', 'Quick', '--id', 'a'], /send takes a type with --id and --payload, or --file/],
      [['send', '--file', '-', '--concurrency', '0'], /whole number from 1/],
      [['worker'], /missing required argument 'module'/],
    ] as const) {
      it(`explains the problem and exits with 2: inbox ${args.join(' ')}`, async () => {
        const { code, stdout, stderr } = await cli.run([...args]);
        assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
        assert.match(stderr, message);
      });
    }

    it('prints help and version on stdout, and exits with 0', async () => {
      const help = await cli.run(['--help']);
      assert.deepEqual([help.code, help.stderr], [0, '']);
      assert.match(help.stdout, /Usage: inbox/);
      const version = await cli.run(['--version']);
      assert.deepEqual([version.code, version.stderr], [0, '']);
      assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
    });
  });

  describe('settings', () => {
    it('are named when they are missing', async () => {
      await cli.fails(['list'], /DATABASE_URL is not set/, { DATABASE_URL: undefined });
      await cli.fails(['worker', 'x.js'], /DATABASE_URL is not set/, { DATABASE_URL: undefined });
      await cli.fails(['replay', 'a'], /TEMPORAL_ADDRESS is not set/, { TEMPORAL_ADDRESS: undefined });
    });

    it('are named when they are wrong', async () => {
      await cli.fails(['list'], /DATABASE_URL is not a postgres:\/\/ URL/, { DATABASE_URL: 'mysql://x' });
      await cli.fails(['replay', 'x'], /INBOX_CONCURRENCY \("0"\) is below 1/, { INBOX_CONCURRENCY: '0' });
    });

    it('are named when no server answers at their address', async () => {
      await cli.fails(['list'], /Postgres cannot be reached at 127\.0\.0\.1:1 .*ECONNREFUSED.*DATABASE_URL/, {
        DATABASE_URL: 'postgres://x:s3cret@127.0.0.1:1/x',
      });
      await cli.fails(['replay', 'x'], /no Temporal server answers at 127\.0\.0\.1:1/, {
        TEMPORAL_ADDRESS: '127.0.0.1:1',
      });
    });
  });

  describe('migrate and setup', () => {
    it('are suggested when the schema is missing', async () => {
      const more = { DATABASE_URL: empty.url };
      await cli.fails(['list'], /`inbox migrate`/, more);
      await writeFile(join(folder, 'one.ndjson'), '{"messageId":"a","type":"Quick","payload":1}\n');
      await cli.fails(['send', '--file', join(folder, 'one.ndjson')], /`inbox migrate`/, more);
      const worker = await cli.run(['worker', 'dist/test/support/cli-commands.js'], more);
      assert.equal(worker.code, 1);
      assert.match(worker.stderr, /inbox: the database lacks migration 0001_inbox\.sql; run `inbox migrate`/);
    });

    it('migrate the database to this version, and say when there is nothing to do', async () => {
      const more = { DATABASE_URL: empty.url };
      const first = await cli.run(['migrate'], more);
      assert.equal(first.code, 0);
      assert.match(first.stdout, /^applied 0001_inbox\.sql\n/);
      const second = await cli.run(['migrate'], more);
      assert.equal(second.code, 0);
      assert.match(second.stdout, /^the inbox's schema is at version \d+, nothing to do\n$/);
      const setup = await cli.run(['setup'], more);
      assert.equal(setup.code, 0);
      assert.match(setup.stdout, /nothing to do\nroles: sender, .*\nsearch attributes in namespace default /);
    });
  });

  describe('send', () => {
    it('answers accepted, then duplicate', async () => {
      const messageId = inbox.id('sent');
      const command = ['send', 'Quick', '--id', messageId, '--payload', '{"a":1}', '--correlation', 'flow'];
      assert.deepEqual(await cli.json(...command), { messageId, answer: 'accepted' });
      const entry = await inbox.reaches(messageId, 'Completed');
      assert.equal(entry.correlationId, 'flow');
      const again = await cli.run(command);
      assert.deepEqual(again, { code: 0, stdout: `${messageId} duplicate\n`, stderr: '' });
    });

    it('refuses a known id with another payload, and invalid commands', async () => {
      const messageId = inbox.id('conflict');
      await (await inbox.start(messageId, { commandType: 'Quick', payload: 1 })).result();
      await cli.fails(['send', 'Quick', '--id', messageId, '--payload', '2'], /accepted before with another/);
      await cli.fails(['send', 'Quick', '--id', 'a', '--payload', '{x'], /--payload is not JSON/);
      await cli.fails(['send', 'Quick', '--id', ' ', '--payload', '1'], /messageId is empty or blank/);
      await cli.fails(['send', 'Quick', '--id', 'a', '--payload', '"\\u0000"'], /payload contains a NUL/);
    });

    it('sends the commands in a file, and reports the lines that it refuses', async () => {
      const path = join(folder, 'many.ndjson');
      await writeFile(
        path,
        lines((name) => inbox.id(name), 'file'),
      );
      checkLines(await cli.run(['send', '--file', path, '--json']));
      assert.equal((await inbox.reaches(inbox.id('file-3'), 'Completed')).correlationId, 'c');
    });

    it('sends commands from stdin, also one per transaction, and answers repeats with duplicate', async () => {
      checkLines(
        await cli.run(
          ['send', '--file', '-', '--concurrency', '1', '--json'],
          {},
          lines((name) => inbox.id(name), 'stdin'),
        ),
      );
      await inbox.reaches(inbox.id('stdin-1'), 'Completed');
      const validLine = lines((name) => inbox.id(name), 'stdin')
        .split('\n')
        .at(-1)!;
      const again = await cli.run(['send', '--file', '-'], {}, `${validLine}\r\n${validLine}\r\n`);
      assert.deepEqual(again, { code: 0, stdout: '0 accepted, 2 duplicate, 0 refused\n', stderr: '' });
    });

    it('names the file that it cannot open', async () => {
      await cli.fails(['send', '--file', join(folder, 'missing')], /--file cannot be opened: ENOENT/);
    });
  });
});
