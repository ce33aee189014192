import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import type { EntryStory } from '../../../src/operations/index.ts';
import type { Cli } from '../../support/cli.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

/** Fails until it is replayed. */
const fixed = defineCommand({
  type: 'Fixed',
  schema: z.object({ cents: z.int().positive() }),
  handle({ payload, generation }) {
    if (generation === 0)
      throw new UnrecoverableError('NotFixed', {}, { message: 'a \u001b[31mred\u001b[0m text' });
    return { cents: payload.cents };
  },
});

const quick = defineCommand({ type: 'Quick', schema: z.unknown(), handle: () => 'done' });

const retriesLater = defineCommand({
  type: 'Patient',
  schema: z.object({}),
  retry: { initialInterval: '1h', maximumInterval: '1h' },
  handle() {
    throw new Error('not today');
  },
});

const UNKNOWN = /no entry has the message_id "nobody"/;

/** The JSON of `inbox show`, in which times are text. */
type Story = EntryStory;

describe('the CLI for operators', () => {
  let inbox: TestInbox;
  let cli: Cli;

  before(async () => {
    inbox = await createTestInbox();
    cli = createCli(inbox);
    await inbox.startWorker([fixed, quick, retriesLater]);
  });
  after(() => inbox.close());

  async function deadLetter(name: string): Promise<string> {
    const messageId = inbox.id(name);
    await inbox.start(messageId, { commandType: 'Fixed', payload: { cents: 5 } });
    await inbox.reaches(messageId, 'DeadLetter');
    return messageId;
  }

  const listed = async (...args: string[]) =>
    (await cli.json<{ messageId: string }[]>('list', ...args)).map(({ messageId }) => messageId);

  describe('list, show and stats', () => {
    it('list entries newest first, by status, type and correlation, in pages', async () => {
      const ids = ['page-1', 'page-2', 'page-3'].map((name) => inbox.id(name));
      for (const messageId of ids) {
        const correlationId = inbox.id('pages');
        await (await inbox.start(messageId, { commandType: 'Quick', payload: 1, correlationId })).result();
      }
      const of = ['--correlation', inbox.id('pages')];
      assert.deepEqual(await listed(...of), ids.toReversed());
      assert.deepEqual(await listed(...of, '--status', 'completed', '--type', 'Quick'), ids.toReversed());
      assert.deepEqual(await listed(...of, '--status', 'Failed'), []);
      assert.deepEqual(await listed(...of, '--type', 'Fixed'), []);

      const first = await cli.run(['list', ...of, '--limit', '2']);
      assert.equal(first.code, 0);
      assert.match(first.stdout, /page-3[\s\S]*page-2/);
      assert.doesNotMatch(first.stdout, /page-1/);
      const next = /^more: --before (\S+)\n$/.exec(first.stderr)![1]!;
      assert.deepEqual(await listed(...of, '--before', next), [ids[0]]);
    });

    it('list a flow including its first command, and entries within a time range', async () => {
      const root = inbox.id('root');
      await (await inbox.start(root, { commandType: 'Quick', payload: 1 })).result();
      const child = inbox.id('child');
      await (await inbox.start(child, { commandType: 'Quick', payload: 1, correlationId: root })).result();
      assert.deepEqual(await listed('--correlation', root), [child, root]);
      assert.match(
        (await cli.run(['show', root])).stdout,
        new RegExp(`1 other .* inbox list --correlation ${root}\n`),
      );

      const { receivedAt } = (await inbox.entry(child))!;
      const of = ['--correlation', root];
      assert.deepEqual(await listed(...of, '--since', receivedAt.toISOString()), [child]);
      assert.deepEqual(await listed(...of, '--until', receivedAt.toISOString()), [root]);
      assert.deepEqual(await listed(...of, '--since', '1h'), [child, root]);
      assert.deepEqual(await listed(...of, '--since', '0001-01-02', '--until', '9999-12-31'), [child, root]);
      assert.deepEqual(await listed(...of, '--until', '1h'), []);
    });

    it('show everything about an entry', async () => {
      const messageId = await deadLetter('story');
      const story = await cli.json<Story>('show', messageId);
      assert.deepEqual(Object.keys(story).slice(0, 4), ['entry', 'failures', 'deadLetters', 'audit']);
      assert.deepEqual([story.entry.messageId, story.entry.status], [messageId, 'DeadLetter']);
      assert.deepEqual([story.failures.length, story.deadLetters.length], [1, 1]);

      const { code, stdout } = await cli.run(['show', messageId, '--stack']);
      assert.equal(code, 0);
      assert.match(stdout, /status +DeadLetter/);
      assert.match(stdout, /attempt 1:\n +UnrecoverableError/);
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(stdout, /\u001b/, 'the text of the error cannot color the terminal');
      assert.match(stdout, /\\u001b\[31mred/);
    });

    it('name an unknown id', async () => {
      await cli.fails(['show', 'nobody'], UNKNOWN);
      await cli.fails(['show', ''], /messageId is empty or blank/);
    });

    it('count entries, and open dead letters', async () => {
      const messageId = await deadLetter('counted');
      const { entries, openDeadLetters } = await cli.json<{
        entries: { commandType: string; status: string; count: number }[];
        openDeadLetters: { errorType: string; count: number }[];
      }>('stats');
      const dead = entries.find((row) => row.commandType === 'Fixed' && row.status === 'DeadLetter');
      assert.ok(dead && dead.count >= 1);
      assert.equal(openDeadLetters.find(({ errorType }) => errorType === 'NotFixed')?.count, dead.count);
      const { stdout } = await cli.run(['stats']);
      assert.match(stdout, /Open dead letters\n.*\n NotFixed +Fixed/);
      assert.ok((await inbox.entry(messageId))?.status === 'DeadLetter', 'reading changes nothing');
    });
  });

  describe('replay and discard', () => {
    it('replay a dead letter, with actor and reason', async () => {
      const messageId = await deadLetter('replayed');
      const answer = await cli.run(['replay', messageId, '--actor', 'ada', '--reason', 'fixed']);
      assert.deepEqual(answer, { code: 0, stdout: `${messageId} replayed\n`, stderr: '' });
      assert.deepEqual((await inbox.reaches(messageId, 'Completed')).result, { cents: 5 });
      const { audit } = await cli.json<Story>('show', messageId);
      assert.deepEqual(
        audit.map(({ action, actor, reason }) => ({ action, actor, reason })),
        [{ action: 'replay', actor: 'ada', reason: 'fixed' }],
      );
      await cli.fails(['replay', messageId], /is Completed, not a dead letter; nothing was changed/);
    });

    it('replay with a new payload, which must pass the schema', async () => {
      const messageId = await deadLetter('edited');
      await cli.fails(
        ['replay', messageId, '--payload', '{"cents":-1}'],
        /the request was refused: payload\.cents/,
      );
      await cli.fails(['replay', messageId, '--payload', '{x'], /--payload is not JSON/);
      assert.equal((await inbox.entry(messageId))?.status, 'DeadLetter');
      const stdin = await cli.run(['replay', messageId, '--payload', '-', '--json'], {}, '{"cents":7}');
      assert.deepEqual(JSON.parse(stdin.stdout), [{ messageId, outcome: 'replayed' }]);
      const again = await cli.run(['replay', messageId, 'nobody', '--json']);
      assert.equal(again.code, 1);
      assert.deepEqual(
        (JSON.parse(again.stdout) as { outcome: string; error: { name: string } }[]).map(
          ({ outcome, error }) => [outcome, error.name],
        ),
        [
          ['failed', 'NotADeadLetterError'],
          ['failed', 'UnknownMessageError'],
        ],
      );
      assert.deepEqual((await inbox.reaches(messageId, 'Completed')).result, { cents: 7 });
    });

    it('discard a dead letter once', async () => {
      const messageId = await deadLetter('discarded');
      const answer = await cli.run(['discard', messageId, '--actor', 'ada']);
      assert.deepEqual(answer, { code: 0, stdout: `${messageId} discarded\n`, stderr: '' });
      await cli.fails(['discard', messageId], /was discarded by ada at .*; nothing was changed/);
      await cli.fails(['replay', messageId], /was discarded by ada/);
    });

    it('refuse messages that are not dead letters, and name the id', async () => {
      await cli.fails(['replay', 'nobody'], UNKNOWN);
      await cli.fails(['discard', 'nobody'], UNKNOWN);
      const messageId = inbox.id('failing');
      await inbox.start(messageId, { commandType: 'Patient', payload: {} });
      await inbox.reaches(messageId, 'Failed');
      await cli.fails(['replay', messageId], /is Failed and will be retried automatically/);
    });

    it('say when no worker has processed a request', async () => {
      const messageId = await deadLetter('nobody-there');
      const handle = inbox.client.workflow.getHandle(messageId);
      await handle.terminate('the signal then starts it on a task queue without a worker');
      const more = { INBOX_TASK_QUEUE: `${inbox.taskQueue}-empty` };
      await cli.fails(
        ['replay', messageId],
        /was sent to Temporal, but no worker of this inbox has processed it yet/,
        more,
      );
      assert.equal((await inbox.entry(messageId))?.status, 'DeadLetter');
      await handle.terminate('the test is over');
    });
  });
});
