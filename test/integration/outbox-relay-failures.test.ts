import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { PublishError } from '../../src/errors.ts';
import type { OutboxRelayOptions } from '../../src/outbox-relay.ts';
import type { PublishedEvent } from '../../src/publisher.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { rows } from '../support/inbox.ts';
import {
  addBacklog,
  allPublished,
  byAggregate,
  countUnpublished,
  oneTo,
  publishingBackend,
  recorder,
  relayBackends,
  startRelay,
} from '../support/outbox.ts';
import type { TestRelay } from '../support/outbox.ts';
import { eventually, gate } from '../support/wait.ts';

const CANARY = 'canary-7391';

describe('the outbox relay, when something fails', () => {
  let database: TestDatabase;
  let relays: TestRelay[] = [];

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());
  beforeEach(() => database.pool.query('truncate inbox.outbox'));
  afterEach(async () => {
    await Promise.all(relays.map((each) => each.stop()));
    relays = [];
  });

  function relay(options: Omit<OutboxRelayOptions, 'databaseUrl'>): TestRelay {
    const started = startRelay({ databaseUrl: database.url, ...options });
    relays.push(started);
    return started;
  }

  it('backs off while the publisher fails, marks nothing, and goes on where it was', async () => {
    let mended = false;
    const calls: number[] = [];
    const { published, publish } = recorder((events) => {
      calls.push(events.length);
      if (!mended) throw new TypeError(`the broker says ${CANARY}`);
    });
    await addBacklog(database.pool, 30);
    const failing = relay({ publish, batchSize: 10, maximumBackoff: '300ms' });
    await eventually('it has failed some times', () => calls.length >= 3);
    assert.equal(await countUnpublished(database.pool), 30);
    mended = true;
    await allPublished(database.pool);

    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(30)]]));
    assert.deepEqual(calls.slice(0, 3), [10, 1, 1]);
    const log = failing.lines.join('\n');
    assert.match(
      log,
      /could not publish, tries again eventId=[-0-9a-f]{36} events=1 failures=2 delayMs=300 error=TypeError\n/,
    );
    assert.match(log, /publishes again/);
    assert.doesNotMatch(log, new RegExp(CANARY));
  });

  it('publishes all that precedes an event the publisher refuses, and names that one', async () => {
    let mended = false;
    const { published, publish } = recorder((events) => {
      if (!mended && events.some(({ payload }) => payload === 23)) throw new PublishError('too large');
    });
    await addBacklog(database.pool, 40);
    const stuck = relay({ publish, maximumBackoff: '50ms' });
    const [bad] = await rows<{ id: string }>(
      database.pool,
      `select id from inbox.outbox where payload = '23'`,
    );
    const named = `eventId=${bad!.id} events=1 failures=2`;
    await eventually('the log names it', () => stuck.lines.some((line) => line.includes(named)));
    assert.equal(await countUnpublished(database.pool), 18);
    assert.ok(stuck.lines.some((line) => line.endsWith('error=PublishError problem="too large"')));
    mended = true;
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(40)]]));
  });

  it('gives up on a publisher that hangs, and tells it so', async () => {
    let hung = 0;
    let aborted = 0;
    const { published, publish } = recorder(async (_, signal) => {
      if (hung === 2) return;
      hung += 1;
      signal.addEventListener('abort', () => (aborted += 1));
      await new Promise(() => {});
    });
    await addBacklog(database.pool, 5);
    const hanging = relay({ publish, publishTimeout: '200ms' });
    await allPublished(database.pool);
    assert.deepEqual([hung, aborted], [2, 2]);
    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(5)]]));
    assert.ok(hanging.lines.some((line) => line.includes('the publisher took longer than 200 ms')));
  });

  it('stops after the batch in flight, which is marked', async () => {
    const under = { way: gate(), let: gate() };
    const { published, publish } = recorder(async () => {
      under.way.open();
      await under.let.opened;
    });
    await addBacklog(database.pool, 20);
    const stopped = relay({ publish, batchSize: 10 });
    await under.way.opened;
    const ended = stopped.stop();
    under.let.open();
    await ended;
    assert.equal(published.length, 10);
    assert.equal(await countUnpublished(database.pool), 10);
    // Its backend takes a moment to end.
    await eventually('its session is gone', async () => (await relayBackends(database.pool)).length === 0);
  });

  it('stops soon although its publisher hangs', async () => {
    const hanging = gate();
    let aborted = false;
    await addBacklog(database.pool, 1);
    const stopped = relay({
      publishTimeout: '10m',
      async publish(_, signal) {
        signal.addEventListener('abort', () => (aborted = true));
        hanging.open();
        await new Promise(() => {});
      },
    });
    await hanging.opened;
    await stopped.stop();
    assert.ok(aborted);
    assert.equal(await countUnpublished(database.pool), 1);
  });

  it('connects again when its backend is terminated', async () => {
    const { published, publish } = recorder();
    const cut = relay({ publish });
    await addBacklog(database.pool, 1);
    await allPublished(database.pool);
    const backend = await publishingBackend(database.pool);
    await database.pool.query('select pg_terminate_backend($1)', [backend]);
    await addBacklog(database.pool, 1);
    await allPublished(database.pool);
    assert.notEqual(await publishingBackend(database.pool), backend);
    assert.equal(published.length, 2);
    assert.ok(cut.lines.some((line) => line.includes('lost Postgres, tries again')));
  });

  it('is one of two that publish, until its connection goes: then the other does', async () => {
    const first = { way: gate(), aborted: gate() };
    let blocked = true;
    const seen: { by: string; events: readonly PublishedEvent[] }[] = [];
    const publishBy = (by: string) => async (events: readonly PublishedEvent[], signal: AbortSignal) => {
      seen.push({ by, events });
      if (!blocked) return;
      blocked = false;
      signal.addEventListener('abort', () => first.aborted.open());
      first.way.open();
      await first.aborted.opened;
      signal.throwIfAborted();
    };
    await addBacklog(database.pool, 10);
    const one = relay({ publish: publishBy('one'), batchSize: 5, publishTimeout: '10m' });
    await first.way.opened;
    const two = relay({ publish: publishBy('two'), batchSize: 5 });
    await eventually('both are there', async () => (await relayBackends(database.pool)).length === 2);
    assert.deepEqual(
      seen.map(({ by }) => by),
      ['one'],
    );

    await database.pool.query('select pg_terminate_backend($1)', [await publishingBackend(database.pool)]);
    await first.aborted.opened;
    await allPublished(database.pool);
    await two.stop();
    await addBacklog(database.pool, 5);
    await allPublished(database.pool);
    await one.stop();

    // Whoever was first: what one published and could not mark came once more, and nothing overtook it.
    const numbers = seen.map(({ events }) => events.map(({ payload }) => payload));
    assert.deepEqual(numbers, [oneTo(5), oneTo(5), [6, 7, 8, 9, 10], oneTo(5)]);
    assert.equal(seen[0]!.by, 'one');
    assert.equal(seen[3]!.by, 'one');
  });
});
