import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DryRunResult } from '../../../src/operations/index.ts';
import type { Cli } from '../../support/cli.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';

const MODULE = fileURLToPath(new URL('../../support/cli-commands.js', import.meta.url));

describe('inbox dry-run', () => {
  let inbox: TestInbox;
  let cli: Cli;
  let quick: string[];

  before(async () => {
    inbox = await createTestInbox();
    cli = createCli(inbox);
    quick = [inbox.id('one'), inbox.id('two')];
    for (const [index, id] of quick.entries()) {
      await seedOpen(inbox.pool, id, 'DeadLetter', { days: 2 - index });
    }
    for (const table of ['entries', 'dead_letters']) {
      await inbox.pool.query(`update inbox.${table} set command_type = 'Quick'`);
    }
    await seedOpen(inbox.pool, inbox.id('unknown'), 'DeadLetter', { days: 1 });
  });
  after(() => inbox.close());

  it('exits with 0 when all messages would complete, and shows what they would do', async () => {
    const { code, stdout, stderr } = await cli.run(['dry-run', '--commands', MODULE, '--type', 'Quick']);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, /one-\S+ +complete +result "done"/);
    assert.match(stdout, /\n2 of 2 would complete; nothing was changed\n$/);
    const results = await cli.json<DryRunResult[]>('dry-run', '--commands', MODULE, ...quick);
    assert.deepEqual(
      results.map((result) => [result.messageId, result.outcome === 'completes' && result.result]),
      quick.map((id) => [id, 'done']),
    );
  });

  it('exits with 1 when a message would not complete, or none matches', async () => {
    const answer = await cli.run(['dry-run', '--commands', MODULE, quick[0]!, inbox.id('unknown'), 'nobody']);
    assert.equal(answer.code, 1);
    assert.match(answer.stdout, /not be run +the module has no command Seeded; it has Held, Quick/);
    assert.match(answer.stdout, /not be run +no entry has the message_id "nobody"/);
    assert.equal(answer.stderr, 'inbox: 2 of 3 would not complete\n');
    const none = await cli.run(['dry-run', '--commands', MODULE, '--type', 'Nothing']);
    assert.deepEqual([none.code, none.stderr], [1, 'inbox: no open dead letter matches\n']);
  });

  it('says when the limit was reached', async () => {
    const { code, stderr, stdout } = await cli.run([
      'dry-run',
      '--commands',
      MODULE,
      '--type',
      'Quick',
      '--limit',
      '1',
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /1 of 1 would complete/);
    assert.equal(stderr, 'tried the 1 oldest; there may be more: raise --limit\n');
  });

  it('exits with 2 when the messages, the filter or the module are missing, or contradict each other', async () => {
    for (const args of [
      ['dry-run', '--commands', MODULE],
      ['dry-run', '--commands', MODULE, '--type', 'Quick', quick[0]!],
      ['dry-run', quick[0]!],
      ['dry-run', '--commands', MODULE, ...quick, '--payload', '{}'],
    ]) {
      assert.equal((await cli.run(args)).code, 2, args.join(' '));
    }
  });
});
