/**
 * Operators' queries: dead letters by cause and one by one, a message's history, statistics.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { deadLetters, discard, failureGroups, replay, show, stats } from '../../../src/operations/index.ts';
import { createCli } from '../../support/cli.ts';
import type { Cli } from '../../support/cli.ts';
import { deadLettersLink, failureGroupLink, workflowLink } from '../../../src/temporal/web-ui.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const schema = z.object({ how: z.string(), children: z.array(z.string()).optional() });

const fails = defineCommand({
  type: 'Fails',
  schema,
  retry: { maximumAttempts: 2, initialInterval: '50ms' },
  async handle({ payload, generation, messageId, send, emit }) {
    if (generation === 0 && payload.how === 'closed') {
      throw new UnrecoverableError('Closed', { account: messageId });
    }
    if (generation === 0 && payload.how === 'busy') throw new Error(`busy with 100% of ${messageId}-7`);
    for (const child of payload.children ?? []) {
      await send({ messageId: child, type: 'Fails', payload: { how: 'works' } });
    }
    emit({ aggregateType: 'thing', aggregateId: '1', type: 'Worked', payload: {} });
    return 'done';
  },
});

describe('operator queries', () => {
  let fixture: TestInbox;
  let cli: Cli;
  const named = (names: string[]) => names.map((name) => fixture.id(name));

  before(async () => {
    fixture = await createTestInbox();
    cli = createCli(fixture);
    await fixture.startWorker([fails]);
    for (const [name, how] of [
      ['a1', 'closed'],
      ['a2', 'closed'],
      ['a3', 'closed'],
      ['b1', 'busy'],
    ] as const) {
      await fixture.start(fixture.id(name), {
        commandType: 'Fails',
        payload: { how },
        correlationId: `flow-${name}`,
      });
      await fixture.reaches(fixture.id(name), 'DeadLetter');
    }
  });
  after(() => fixture.close());

  it('find one group for each cause, with count, times and an example', async () => {
    const groups = await failureGroups(fixture.pool);
    assert.deepEqual(
      groups.map(({ commandType, errorType, count, buildIds, example }) => [
        commandType,
        errorType,
        count,
        buildIds,
        example.messageId,
      ]),
      [
        ['Fails', 'Closed', 3, [null], fixture.id('a3')],
        ['Fails', 'Error', 1, [null], fixture.id('b1')],
      ],
    );
    assert.ok(groups[0]!.firstDeadAt < groups[0]!.lastDeadAt);
    assert.deepEqual(JSON.parse(JSON.stringify(groups)), await cli.json('dead-letters', 'groups'));
    const { stdout } = await cli.run(['dead-letters', 'groups']);
    assert.match(stdout, /Fails\/Closed\/[0-9a-f]{8} +3 /);
  });

  it("come with links into Temporal's Web UI if its address is known", async () => {
    const env = { INBOX_TEMPORAL_UI_URL: 'https://ui.example.com/', TEMPORAL_NAMESPACE: 'pay ments' };
    const ui = { url: 'https://ui.example.com', namespace: 'pay ments' };
    const [{ failureGroup } = { failureGroup: '' }] = await failureGroups(fixture.pool);
    const workflow = workflowLink(ui, fixture.id('a1'));
    assert.match(workflow, /^https:\/\/ui\.example\.com\/namespaces\/pay%20ments\/workflows\/a1-/);
    const list = await cli.run(['dead-letters'], env);
    assert.ok(
      list.stderr.includes(`all open dead letters in Temporal's Web UI: ${deadLettersLink(ui)}\n`),
      list.stderr,
    );
    const ofGroup = await cli.run(['dead-letters', '--group', failureGroup], env);
    assert.ok(ofGroup.stderr.includes(failureGroupLink(ui, failureGroup)), ofGroup.stderr);
    const groups = await cli.run(['dead-letters', 'groups'], env);
    assert.ok(
      groups.stderr.includes(`${failureGroup}: ${failureGroupLink(ui, failureGroup)}\n`),
      groups.stderr,
    );
    for (const command of [['show'], ['dead-letters', 'show']]) {
      const { stdout } = await cli.run([...command, fixture.id('a1')], {
        ...env,
        TEMPORAL_ADDRESS: undefined,
      });
      assert.ok(stdout.includes(workflow), stdout);
    }
    // A mistake in a worker's settings does not keep anyone from looking.
    const besideMistake = await cli.run(['show', fixture.id('a1')], { ...env, INBOX_CONCURRENCY: 'many' });
    assert.equal(besideMistake.code, 0, besideMistake.stderr);
    const json = await cli.run(['dead-letters', '--json'], env);
    assert.equal(json.stderr, '', 'programs get no links');
    const resolved = await cli.run(['dead-letters', '--status', 'all'], env);
    assert.equal(resolved.stderr, '', 'the link shows open dead letters only');
  });

  it('find dead letters by every filter, in pages', async () => {
    const ids = async (...args: string[]) =>
      (await cli.json<{ messageId: string }[]>('dead-letters', 'list', ...args)).map(
        ({ messageId }) => messageId,
      );
    assert.deepEqual(await ids(), named(['b1', 'a3', 'a2', 'a1']));
    const [group] = await failureGroups(fixture.pool);
    assert.deepEqual(await ids('--group', group!.failureGroup), named(['a3', 'a2', 'a1']));
    assert.deepEqual(await ids('--error-type', 'Error'), named(['b1']));
    assert.deepEqual(await ids('--type', 'Other'), []);
    assert.deepEqual(await ids('--correlation', 'flow-a2'), named(['a2']));
    // % and _ are not wildcards.
    assert.deepEqual(await ids('--text', 'BUSY with 100%'), named(['b1']));
    assert.deepEqual(await ids('--text', '%'), named(['b1']));
    assert.deepEqual(await ids('--text', '_'), []);
    assert.deepEqual(await ids('--since', '1h', '--until', '59m'), []);
    const [first] = await deadLetters(fixture.pool, { limit: 1 });
    assert.deepEqual(await ids('--before', first!.id, '--limit', '2'), named(['a3', 'a2']));
    const { deadAt } = (await deadLetters(fixture.pool))[2]!;
    assert.deepEqual(await ids('--until', deadAt.toISOString()), named(['a1']));
    const wrong = await cli.run(['dead-letters', '--since', 'yesterday']);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /Give a time such as/);
  });

  it('show resolved dead letters only on request', async () => {
    await discard(fixture, fixture.id('a1'), { actor: 'ann', reason: 'a test' });
    const states = async (state: 'open' | 'discarded' | 'all') =>
      (await deadLetters(fixture.pool, { state, errorType: 'Closed' })).map(({ messageId }) => messageId);
    assert.deepEqual(await states('open'), named(['a3', 'a2']));
    assert.deepEqual(await states('discarded'), named(['a1']));
    assert.deepEqual(await states('all'), named(['a3', 'a2', 'a1']));
    const { stdout } = await cli.run(['dead-letters', 'show', fixture.id('a1')]);
    assert.match(stdout, /resolved +discarded by ann/);
    assert.match(stdout, /because +a test/);
    const [letter] = await deadLetters(fixture.pool, { state: 'discarded' });
    assert.deepEqual(
      await cli.json('dead-letters', 'show', letter!.id),
      JSON.parse(JSON.stringify([letter])),
    );
    await cli.fails(
      ['dead-letters', 'show', letter!.id.replace(/.$/, (last) => (last === '0' ? '1' : '0'))],
      /no entry has/,
    );
  });

  it('show the timeline of a message, with payload changes, events, causes and effects', async () => {
    const [child, grandchild] = named(['child', 'grandchild']);
    const payload = { how: 'works', children: [child!] };
    await replay(fixture, fixture.id('b1'), { actor: 'ann', reason: 'fixed', payload });
    await fixture.reaches(child!, 'Completed');
    await fixture.start(grandchild!, {
      commandType: 'Fails',
      payload: { how: 'works' },
      causationId: child!,
      correlationId: 'flow-b1',
    });
    await fixture.reaches(grandchild!, 'Completed');

    const story = await show(fixture.pool, fixture.id('b1'));
    assert.deepEqual(
      story.story.map(({ what }) => what),
      ['received', 'failed', 'failed', 'dead letter', 'replay', 'completed', 'event'],
    );
    assert.match(story.story[4]!.text, /by ann: fixed; payload changed: how "busy" → "works", children/);
    assert.match(story.story[6]!.text, /Worked of thing 1, not published/);
    assert.deepEqual(
      story.related.map(({ messageId, depth }) => [messageId, depth]),
      [
        [child, 1],
        [grandchild, 2],
      ],
    );
    assert.equal(story.flow, 2);
    const effect = await show(fixture.pool, grandchild!);
    assert.deepEqual(
      effect.related.map(({ messageId, depth }) => [messageId, depth]),
      [
        [fixture.id('b1'), -2],
        [child, -1],
      ],
    );
    const { stdout } = await cli.run(['show', child!]);
    assert.match(
      stdout,
      new RegExp(
        `${fixture.id('b1')}  Fails  Completed\n  └ ${child}  \\(this message\\)\n    └ ${grandchild}`,
      ),
    );
  });

  it('terminate for messages that cause each other in a cycle', async () => {
    const [one, two] = named(['one', 'two']);
    for (const [id, cause] of [
      [one!, two!],
      [two!, one!],
    ] as const) {
      await fixture.start(id, { commandType: 'Fails', payload: { how: 'works' }, causationId: cause });
      await fixture.reaches(id, 'Completed');
    }
    const { related } = await show(fixture.pool, one!);
    assert.ok(related.length > 0 && related.every(({ messageId }) => messageId === two));
  });

  it('count recent messages, failures and dead letters, and show the age of the oldest', async () => {
    const { rates, oldest } = await stats(fixture.pool);
    assert.deepEqual(
      rates.map(({ minutes }) => minutes),
      [1, 15, 60],
    );
    const [received] = await rows<{ count: number }>(
      fixture.pool,
      `select count(*)::integer as count from inbox.entries`,
    );
    assert.equal(rates[2]!.received, received!.count);
    assert.equal(rates[2]!.failed, 5);
    assert.equal(rates[2]!.deadLettered, 4);
    assert.equal(oldest.pending, null);
    assert.ok(oldest.openDeadLetter! < new Date());
    const { stdout } = await cli.run(['stats']);
    assert.match(stdout, /oldest open dead letter +\d+s/);
  });
});
