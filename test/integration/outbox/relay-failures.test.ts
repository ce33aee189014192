import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { PublishError } from '../../../src/core/errors.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import {
  insertEvents,
  allPublished,
  byAggregate,
  countUnpublished,
  emptyOutbox,
  oneTo,
  publishingRelay,
  recorder,
  relayBackends,
  createRelays,
} from '../../support/outbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const CANARY = 'canary-7391';

describe('the outbox relay under failures', () => {
  let database: TestDatabase;
  const relays = createRelays(() => database.url);
  const relay = relays.start;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());
  beforeEach(() => emptyOutbox(database.pool));
  afterEach(() => relays.stopAll());

  it('backs off while the publisher fails, marks nothing, and then continues', async () => {
    let isFixed = false;
    const calls: number[] = [];
    const { published, publish } = recorder((events) => {
      calls.push(events.length);
      if (!isFixed) throw new TypeError(`the broker says ${CANARY}`);
    });
    await insertEvents(database.pool, 30);
    const failing = relay({ publish, batchSize: 10, maximumBackoff: '300ms' });
    await eventually('the publisher has failed three times', () => calls.length >= 3);
    assert.equal(await countUnpublished(database.pool), 30);
    isFixed = true;
    await allPublished(database.pool);

    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(30)]]));
    assert.deepEqual(calls.slice(0, 3), [10, 1, 1]);
    const log = failing.lines.join('\n');
    assert.match(
      log,
      /could not publish; retrying eventId=[-0-9a-f]{36} events=10 failures=2 delayMs=300 error=TypeError\n/,
    );
    assert.match(log, /is publishing again/);
    assert.doesNotMatch(log, new RegExp(CANARY));
  });

  it('publishes all events before the one that the publisher rejects, and logs its id', async () => {
    let isFixed = false;
    const { published, publish } = recorder((events) => {
      if (!isFixed && events.some(({ payload }) => payload === 23)) throw new PublishError('too large');
    });
    await insertEvents(database.pool, 40);
    const stuck = relay({ publish, maximumBackoff: '50ms' });
    const [bad] = await rows<{ id: string }>(
      database.pool,
      `select id from inbox.outbox where payload = '23'`,
    );
    await eventually('the log names the event', () =>
      stuck.lines.some(
        (line) =>
          line.includes(`parked an aggregate`) &&
          line.includes(bad!.id) &&
          line.endsWith('problem="too large"'),
      ),
    );
    assert.equal(await countUnpublished(database.pool), 18);
    isFixed = true;
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(40)]]));
  });

  it('aborts a publisher call that hangs and retries', async () => {
    let hung = 0;
    let aborted = 0;
    const { published, publish } = recorder(async (_, signal) => {
      if (hung === 2) return;
      hung += 1;
      signal.addEventListener('abort', () => (aborted += 1));
      await new Promise(() => {});
    });
    await insertEvents(database.pool, 5);
    const hanging = relay({ publish, publishTimeout: '200ms' });
    await allPublished(database.pool);
    assert.deepEqual([hung, aborted], [2, 2]);
    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(5)]]));
    assert.ok(hanging.lines.some((line) => line.includes('the publisher took longer than 200 ms')));
  });

  it('marks the current batch before it stops', async () => {
    const started = gate();
    const mayFinish = gate();
    const { published, publish } = recorder(async () => {
      started.open();
      await mayFinish.opened;
    });
    await insertEvents(database.pool, 20);
    const stopped = relay({ publish, batchSize: 10 });
    await started.opened;
    const ended = stopped.stop();
    mayFinish.open();
    await ended;
    assert.equal(published.length, 10);
    assert.equal(await countUnpublished(database.pool), 10);
    // The relay's backend takes a moment to end.
    await eventually('the backend has ended', async () => (await relayBackends(database.pool)).length === 0);
  });

  it('stops soon even if its publisher hangs', async () => {
    const hanging = gate();
    let aborted = false;
    await insertEvents(database.pool, 1);
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

  it('reconnects after its backend was terminated', async () => {
    const { published, publish } = recorder();
    const cut = relay({ publish });
    await insertEvents(database.pool, 1);
    await allPublished(database.pool);
    const holder = await publishingRelay(database.pool);
    const backends = await relayBackends(database.pool);
    await database.pool.query('select pg_terminate_backend(pid) from unnest($1::integer[]) as pid', [
      backends,
    ]);
    await insertEvents(database.pool, 1);
    await allPublished(database.pool);
    assert.ok((await relayBackends(database.pool)).every((pid) => !backends.includes(pid)));
    // The lease is in a table, so it survives the connection.
    assert.equal(await publishingRelay(database.pool), holder);
    assert.equal(published.length, 2);
    assert.ok(cut.lines.every((line) => !line.includes('lost its lease')));
  });

  it('publishes alone; a second relay takes over as soon as the first one is stopped', async () => {
    const [one, two] = [recorder(), recorder()];
    const first = relay({ publish: one.publish, lease: '1m' });
    await eventually('the first relay holds the lease', () => publishingRelay(database.pool));
    relay({ publish: two.publish, lease: '1m' });
    await eventually(
      'both relays are connected',
      async () => (await relayBackends(database.pool)).length === 2,
    );
    await insertEvents(database.pool, 5);
    await allPublished(database.pool);
    assert.deepEqual([one.published.length, two.published.length], [5, 0]);
    const stopped = performance.now();
    await first.stop();
    await insertEvents(database.pool, 5);
    await allPublished(database.pool);
    assert.deepEqual([one.published.length, two.published.length], [5, 5]);
    assert.ok(performance.now() - stopped < 40_000, 'the second relay did not wait for the lease to expire');
  });

  it('aborts its batch and marks nothing if another relay holds the lease', async () => {
    const aborted = gate();
    const started = gate();
    let released = false;
    const { published, publish } = recorder(async (_, signal) => {
      if (released) return;
      released = true;
      signal.addEventListener('abort', () => aborted.open());
      started.open();
      await aborted.opened;
      signal.throwIfAborted();
    });
    await insertEvents(database.pool, 10);
    const losing = relay({ publish, batchSize: 5, publishTimeout: '10m' });
    await started.opened;
    await database.pool.query(
      `update inbox.outbox_lease set holder = gen_random_uuid(), until = now() + interval '1 hour'`,
    );
    await aborted.opened;
    await eventually('the relay has noticed', () =>
      losing.lines.some((line) => line.includes('lost its lease')),
    );
    assert.deepEqual([published.length, await countUnpublished(database.pool)], [0, 10]);
    await database.pool.query(`update inbox.outbox_lease set until = '-infinity'`);
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(published), new Map([['a0', oneTo(10)]]));
  });

  it('marks nothing if it lost the lease without noticing', async () => {
    let taken = false;
    const { published, publish } = recorder(async () => {
      if (taken) return;
      taken = true;
      await database.pool.query(
        `update inbox.outbox_lease set holder = gen_random_uuid(), until = now() + interval '1 hour'`,
      );
    });
    await insertEvents(database.pool, 10);
    const losing = relay({ publish, batchSize: 5, lease: '5m' });
    await eventually('the relay has noticed', () =>
      losing.lines.some((line) => line.includes('lost its lease')),
    );
    assert.deepEqual([published.length, await countUnpublished(database.pool)], [5, 10]);
    await database.pool.query(`update inbox.outbox_lease set until = '-infinity'`);
    await allPublished(database.pool);
    assert.deepEqual(byAggregate(published), new Map([['a0', [...oneTo(5), ...oneTo(10)]]]));
  });
});
