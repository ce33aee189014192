/**
 * An event that the publisher rejects holds back its own aggregate and nothing else.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { PublishError, UnknownEventError } from '../../src/errors.ts';
import { parkedEvents, releaseEvents, skipEvent } from '../../src/operations.ts';
import type { OutboxRelayOptions } from '../../src/outbox-relay.ts';
import type { PublishedEvent } from '../../src/publisher.ts';
import { runCli } from '../support/cli.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { rows } from '../support/inbox.ts';
import {
  addBacklog,
  allPublished,
  countUnpublished,
  recorder,
  runCommand,
  eventOf,
  startRelay,
} from '../support/outbox.ts';
import type { TestRelay } from '../support/outbox.ts';
import { eventually } from '../support/wait.ts';

/** In order of position for each aggregate. */
function inOrder(published: readonly PublishedEvent[]): void {
  const last = new Map<string, number>();
  for (const { aggregateId, position } of published) {
    assert.ok(position > (last.get(aggregateId) ?? 0), `${aggregateId} at ${position}`);
    last.set(aggregateId, position);
  }
}

describe('an event that the publisher rejects', () => {
  let database: TestDatabase;
  let relays: TestRelay[] = [];
  let isFixed = false;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());
  beforeEach(async () => {
    isFixed = false;
    await database.pool.query('truncate inbox.outbox, inbox.outbox_parked');
  });
  afterEach(async () => {
    await Promise.all(relays.map((each) => each.stop()));
    relays = [];
  });

  function relay(options: Omit<OutboxRelayOptions, 'databaseUrl'>): TestRelay {
    const started = startRelay({ databaseUrl: database.url, ...options });
    relays.push(started);
    return started;
  }

  /** A broker that takes no event of these aggregates, and says of which event it complains only where it is told to. */
  const refusing = (refused: (event: PublishedEvent) => boolean, names = false) =>
    recorder((events) => {
      const bad = isFixed ? [] : events.filter(refused);
      if (bad.length > 0) throw new PublishError('no', { rejected: names ? bad.map(({ id }) => id) : [] });
    });
  const waiting = async () =>
    rows<{ aggregateid: string }>(
      database.pool,
      'select distinct aggregateid from inbox.outbox where published_at is null order by 1',
    );

  for (const names of [false, true]) {
    it(`holds back only its own aggregate (${names ? 'the publisher names it' : 'the publisher does not say which'})`, async () => {
      const { published, publish } = refusing(
        ({ aggregateId, payload }) => aggregateId === 'a3' && (payload as number) >= 100,
        names,
      );
      await addBacklog(database.pool, 500, 10);
      relay({ publish, batchSize: 50 });
      await eventually('only one aggregate waits', async () => {
        const left = await waiting();
        return left.length === 1 && left[0]!.aggregateid === 'a3';
      });
      const later = 100;
      await addBacklog(database.pool, later, 10);
      await eventually(
        'what came later is published, too',
        async () => (await countUnpublished(database.pool)) === 50,
      );
      const [parked] = await parkedEvents(database.pool);
      assert.deepEqual([parked!.aggregateId, parked!.lastError, parked!.waiting], ['a3', 'no', 50]);
      isFixed = true;
      await releaseEvents(database.pool, null);
      await allPublished(database.pool);
      inOrder(published);
      assert.equal(new Set(published.map(({ id }) => id)).size, 600);
      await eventually(
        'nothing is parked any more',
        async () => (await parkedEvents(database.pool)).length === 0,
      );
    });
  }

  it('is not told from others while the broker is away: nothing is parked, and all of it comes in order afterwards', async () => {
    let calls = 0;
    const { published, publish } = recorder(() => {
      calls += 1;
      if (!isFixed) throw new Error('connection refused');
    });
    await addBacklog(database.pool, 100, 20);
    relay({ publish, batchSize: 10, maximumBackoff: '100ms' });
    await eventually('it has failed some times', () => calls >= 20);
    assert.deepEqual(await parkedEvents(database.pool), []);
    isFixed = true;
    await allPublished(database.pool);
    inOrder(published);
  });

  it('may be one of many: 300 rejected aggregates hold back no other', async () => {
    const { published, publish } = refusing(({ aggregateId }) => Number(aggregateId.slice(1)) < 300);
    await addBacklog(database.pool, 900, 310);
    relay({ publish, batchSize: 100, maximumBackoff: '50ms' });
    await eventually(
      'those of the other aggregates are published',
      () => new Set(published.map(({ aggregateId }) => aggregateId)).size === 10,
    );
    await eventually('and all of them', async () => (await waiting()).length === 300);
    isFixed = true;
    await eventually('they are tried again', async () => {
      await releaseEvents(database.pool, null);
      return (await countUnpublished(database.pool)) === 0;
    });
    inOrder(published);
  });

  it('is followed by 20,000 others that are not read at every look', async () => {
    const { publish } = refusing(({ aggregateId }) => aggregateId === 'a0', true);
    await addBacklog(database.pool, 20_000, 1);
    relay({ publish, batchSize: 1_000 });
    await eventually('all of them wait', async () => {
      const found = await rows(database.pool, 'select from inbox.outbox where not parked');
      return found.length === 0;
    });
    const read = async () => {
      const [found] = await rows<{ read: number }>(
        database.pool,
        `select (idx_tup_read)::float8 as read from pg_stat_user_indexes where indexrelname = 'outbox_waiting'`,
      );
      return found!.read;
    };
    const readBefore = await read();
    for (let n = 0; n < 20; n += 1) {
      await runCommand(database.pool, `after-${n}`, async () => [eventOf('other', n)]);
      await eventually(
        'it is published',
        async () =>
          (
            await rows(
              database.pool,
              `select from inbox.outbox where aggregateid = 'other' and published_at is null`,
            )
          ).length === 0,
      );
    }
    // A try of the parked event reads some; a look that read all of them would read 20,000 each time.
    assert.ok((await read()) - readBefore < 100_000);
  });

  it('is listed, released and skipped on the command line, with a line in the audit', async () => {
    const env = { DATABASE_URL: database.url };
    const { published, publish } = refusing(({ payload }) => payload === 1, true);
    await runCommand(database.pool, 'emitted', async () => [
      eventOf('a', 1),
      eventOf('a', 2),
      eventOf('b', 3),
    ]);
    relay({ publish });
    const [parked] = await eventually('it is parked', async () => {
      const found = await parkedEvents(database.pool);
      return found[0]?.waiting === 2 ? found : null;
    });
    const id = parked!.eventId;
    const listed = await runCli(['outbox'], env);
    assert.match(listed.stdout, new RegExp(`${id} +account a +Happened +\\d+ +\\d+s +2 +no`));
    assert.equal(
      (JSON.parse((await runCli(['outbox', 'list', '--json'], env)).stdout) as unknown[]).length,
      1,
    );
    const released = await runCli(['outbox', 'release', id, '--reason', 'broker was fixed', '--json'], env);
    assert.deepEqual(JSON.parse(released.stdout), { released: [id] });
    const doctor = await runCli(['doctor', '--json'], { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' });
    assert.match(doctor.stdout, new RegExp(`inbox outbox release ${id}`));

    const skipped = await runCli(
      ['outbox', 'skip', id, '--actor', 'ann', '--reason', 'nobody needs it'],
      env,
    );
    assert.equal(skipped.code, 0, skipped.stderr);
    await allPublished(database.pool);
    assert.deepEqual(
      published.map(({ payload }) => payload as number).toSorted((a, b) => a - b),
      [2, 3],
    );
    const audit = await rows<{ action: string; actor: string; reason: string }>(
      database.pool,
      `select action, actor, reason from inbox.audit where message_id = 'emitted' order by id`,
    );
    assert.deepEqual(
      audit.map(({ action }) => action),
      ['event-released', 'event-skipped'],
    );
    assert.deepEqual([audit[1]!.actor, audit[1]!.reason], ['ann', 'nobody needs it']);
    const [row] = await rows(database.pool, 'select skipped from inbox.outbox where id = $1', [id]);
    assert.deepEqual(row, { skipped: true });

    await assert.rejects(skipEvent(database.pool, id), UnknownEventError);
    await assert.rejects(releaseEvents(database.pool, 'no-uuid'), UnknownEventError);
    assert.equal((await runCli(['outbox', 'release', id], env)).code, 1);
    assert.equal((await runCli(['outbox', 'release'], env)).code, 2);
  });
});
