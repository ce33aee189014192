/**
 * `inbox outbox`: listing, releasing and skipping parked events.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PublishError } from '../../../src/core/errors.ts';
import type { AuditTrailLine, ParkedEvent } from '../../../src/operations/index.ts';
import { auditTrail, skipEvent } from '../../../src/operations/index.ts';
import type { PublishedEvent } from '../../../src/core/published-event.ts';
import { createCli } from '../../support/cli.ts';
import type { Cli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { eventOf, parkedRows, runCommand, startRelay } from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

describe('inbox outbox', () => {
  let inbox: TestInbox;
  let cli: Cli;
  let operator: TestLogin;
  let relay: TestRelay;
  const published: PublishedEvent[] = [];
  const rejected: string[] = [];
  let isRejecting = true;

  before(async () => {
    inbox = await createTestInbox();
    cli = createCli(inbox);
    operator = await createLogin(inbox.database, 'inbox_operator');
    relay = startRelay({
      databaseUrl: inbox.database.url,
      maximumParkedBackoff: '1h',
      async publish(events) {
        const poison = events.filter(({ type }) => isRejecting && type === 'Poison');
        const stored = events.filter((event) =>
          poison.every((each) => each.aggregateId !== event.aggregateId),
        );
        published.push(...stored);
        rejected.push(...poison.map(({ id }) => id));
        if (poison.length === 0) return;
        throw new PublishError('rejected', {
          rejected: poison.map(({ id }) => ({ id, problem: 'payload too large for the broker' })),
          published: stored.map(({ id }) => id),
        });
      },
    });
  });
  after(async () => {
    await relay.stop();
    await operator.drop();
    await inbox.close();
  });

  const emit = (id: string, aggregate: string, types: string[]) =>
    runCommand(inbox.pool, id, async () => types.map((type, n) => eventOf(aggregate, n, type)));
  const parked = (count: number) =>
    eventually(`${count} events are parked`, async () => (await parkedRows(inbox.pool)).length === count);
  const rejections = (count: number) => eventually(`${count} rejections`, () => rejected.length >= count);
  const asOperator = () => ({ DATABASE_URL: operator.url });

  it('lists nothing when no event is parked', async () => {
    assert.deepEqual(await cli.json('outbox'), []);
    assert.equal((await cli.run(['outbox', 'list'])).code, 0);
  });

  it('lists parked events with the error and the number of events that wait behind them', async () => {
    await emit('command-1', 'a', ['Poison', 'Later', 'Later']);
    await emit('command-2', 'b', ['Poison']);
    await parked(2);
    const listed = await cli.json<ParkedEvent[]>('outbox', 'list');
    assert.deepEqual(
      listed.map((event) => [
        event.aggregateType,
        event.aggregateId,
        event.type,
        event.messageId,
        event.behind,
      ]),
      [
        ['account', 'a', 'Poison', 'command-1', 2],
        ['account', 'b', 'Poison', 'command-2', 0],
      ],
    );
    assert.equal(listed[0]!.error, 'payload too large for the broker');
    const { code, stdout } = await cli.run(['outbox'], asOperator());
    assert.equal(code, 0);
    assert.match(
      stdout,
      new RegExp(`${listed[0]!.id} +account a +Poison +\\d+s +\\d .* 2 +payload too large`),
    );
    const { stdout: stats } = await cli.run(['stats']);
    assert.match(stats, /parked aggregates +2, the oldest for \d+s; see `inbox outbox list`/);
    assert.deepEqual((await cli.json<{ parked: { aggregates: number } }>('stats')).parked.aggregates, 2);
  });

  it('releases one event or all of them, which are then retried at once', async () => {
    const [one] = await cli.json<ParkedEvent[]>('outbox');
    await eventually(
      'its next retry is far in the future',
      async () => (await parkedRows(inbox.pool))[0]!.attempts >= 3,
    );
    const earlier = rejected.length;
    const { code, stdout, stderr } = await cli.run(
      ['outbox', 'release', one!.id, '--actor', 'ada', '--reason', 'limit raised'],
      asOperator(),
    );
    assert.deepEqual([code, stdout, stderr], [0, `${one!.id} released\n`, '']);
    await rejections(earlier + 1);
    assert.deepEqual(
      (await cli.json<{ released: string[] }>('outbox', 'release', '--all')).released.length,
      2,
    );
    await rejections(earlier + 3);
    const lines = await auditTrail(inbox.pool, { action: 'release-event', limit: 10 });
    assert.deepEqual([lines.length, lines.at(-1)!.actor, lines.at(-1)!.reason], [3, 'ada', 'limit raised']);
  });

  it('skips an event with an audit record: it is never published, but the events behind it are', async () => {
    const [one] = await cli.json<ParkedEvent[]>('outbox');
    const { code, stdout } = await cli.run(
      ['outbox', 'skip', one!.id, '--actor', 'ada', '--reason', 'our own bug'],
      asOperator(),
    );
    assert.deepEqual([code, stdout], [0, `${one!.id} skipped\n`]);
    await parked(1);
    assert.deepEqual(
      published.filter(({ aggregateId }) => aggregateId === 'a').map(({ type }) => type),
      ['Later', 'Later'],
    );
    const [line] = await cli.json<AuditTrailLine[]>('audit', '--action', 'skip-event');
    assert.deepEqual(
      [line!.messageId, line!.actor, line!.reason, line!.details],
      [
        'command-1',
        'ada',
        'our own bug',
        { eventId: one!.id, eventType: 'Poison', aggregateType: 'account', aggregateId: 'a' },
      ],
    );
    await cli.fails(['outbox', 'skip', one!.id, '--reason', 'again'], /is not parked; nothing was changed/);
  });

  it('explains invalid requests', async () => {
    const unknown = '00000000-0000-0000-0000-000000000001';
    await cli.fails(['outbox', 'release', unknown], /event "0{8}.*" is not parked; `inbox outbox list`/);
    await cli.fails(['outbox', 'release', 'nonsense'], /event "nonsense" is not parked/);
    await cli.fails(['outbox', 'skip', 'nonsense', '--reason', 'x'], /event "nonsense" is not parked/);
    for (const args of [
      ['release'],
      ['release', unknown, '--all'],
      ['skip', unknown],
      ['skip', '--reason', 'x'],
    ]) {
      assert.equal((await cli.run(['outbox', ...args])).code, 2, args.join(' '));
    }
    await assert.rejects(skipEvent(inbox.pool, unknown, { reason: ' ' }), /reason is missing/);
    const [left] = await parkedRows(inbox.pool);
    const orphan = left!.event_id;
    await inbox.pool.query(`update inbox.outbox set message_id = 'gone' where id = $1`, [orphan]);
    await cli.fails(
      ['outbox', 'skip', orphan, '--reason', 'x'],
      /no longer in inbox\.entries.*nothing was changed/,
    );
    assert.equal((await parkedRows(inbox.pool)).length, 1);
  });

  it('publishes parked events once the broker accepts them', async () => {
    isRejecting = false;
    await cli.run(['outbox', 'release', '--all']);
    await parked(0);
    assert.equal(published.filter(({ aggregateId }) => aggregateId === 'b').length, 1);
    assert.deepEqual(await cli.json('outbox'), []);
  });
});
