import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { startNats } from '../support/nats.ts';
import type { TestNats } from '../support/nats.ts';
import {
  insertEvents,
  allPublished,
  countUnpublished,
  emptyOutbox,
  oneTo,
  publishingRelay,
  relayBackends,
} from '../support/outbox.ts';
import { startRelayProcess } from '../support/relay-process.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { eventually } from '../support/wait.ts';

const MINUTE = 60_000_000_000;

describe('an outbox relay that is killed', () => {
  let database: TestDatabase;
  let nats: TestNats;
  let processes: RelayProcess[] = [];
  let streams = 0;
  let stream: string;

  before(async () => {
    database = await createTestDatabase();
    nats = await startNats();
  });
  after(async () => {
    await nats.close();
    await database.drop();
  });
  beforeEach(async () => {
    await emptyOutbox(database.pool);
    stream = `S${(streams += 1)}`;
  });
  afterEach(async () => {
    for (const each of processes) each.kill('SIGKILL');
    await Promise.all(processes.map(({ ended }) => ended));
    processes = [];
    await nats.removeStream(stream);
  });

  const addStream = (duplicateWindow: number) =>
    nats.addStream({ name: stream, subjects: ['inbox.>'], duplicate_window: duplicateWindow });

  function startRelay(env: Record<string, string> = {}): RelayProcess {
    const started = startRelayProcess(database.url, nats.url, env);
    processes.push(started);
    return started;
  }

  /** Waits until this relay holds the lease, because a relay that was killed just before may still appear to hold it. */
  async function publishes(relay: RelayProcess): Promise<string> {
    await eventually('the relay publishes', () => relay.log().includes('outbox relay started publishing'));
    return (await publishingRelay(database.pool))!;
  }

  const stored = async () => (await nats.read(stream)).map((message) => message.json<number>());

  it('between publishing and marking is followed by repeats, which JetStream drops', async () => {
    await addStream(2 * MINUTE);
    await insertEvents(database.pool, 50);
    await startRelay({ DIE: 'published' }).ended;
    assert.equal(await nats.count(stream), 20);
    assert.equal(await countUnpublished(database.pool), 50);
    startRelay();
    await allPublished(database.pool);
    assert.deepEqual(await stored(), oneTo(50));
  });

  it('is followed by repeats in order if the broker does not drop duplicates', async () => {
    await addStream(100_000_000);
    await insertEvents(database.pool, 50);
    await startRelay({ DIE: 'published' }).ended;
    const killed = Date.now();
    await eventually('the duplicate window has passed', () => Date.now() - killed > 500);
    startRelay();
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(20), ...oneTo(50)]);
  });

  it('repeatedly loses no event and keeps the order', async () => {
    await addStream(2 * MINUTE);
    await insertEvents(database.pool, 200, 3);
    for (let round = 0; round < 4; round += 1) {
      const relay = startRelay();
      const backlog = await countUnpublished(database.pool);
      await insertEvents(database.pool, 100, 3);
      await eventually(
        'the relay has published some events',
        async () => (await countUnpublished(database.pool)) < backlog + 100,
      );
      relay.kill('SIGKILL');
      await relay.ended;
    }
    startRelay();
    await allPublished(database.pool);
    const messages = await nats.read(stream);
    assert.equal(messages.length, 600);
    for (const id of ['a0', 'a1', 'a2']) {
      const own = messages.filter(({ headers }) => headers!.get('Inbox-Aggregate-Id') === id);
      const positions = own.map(({ headers }) => Number(headers!.get('Inbox-Position')));
      assert.deepEqual(
        positions,
        positions.toSorted((a, b) => a - b),
      );
    }
  });

  it('is replaced by a waiting relay', async () => {
    await addStream(2 * MINUTE);
    const first = startRelay();
    const holder = await publishes(first);
    startRelay();
    await eventually('the second relay waits', async () => (await relayBackends(database.pool)).length === 2);
    assert.equal(await publishingRelay(database.pool), holder);
    first.kill('SIGKILL');
    await insertEvents(database.pool, 10);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), oneTo(10));
  });

  it('or only stopped is replaced too, and waits for the lease when it continues', async () => {
    await addStream(2 * MINUTE);
    const frozen = startRelay();
    const holder = await publishes(frozen);
    frozen.kill('SIGSTOP');
    const second = startRelay();
    await insertEvents(database.pool, 10);
    await allPublished(database.pool);
    const successor = await publishingRelay(database.pool);
    assert.notEqual(successor, holder);
    frozen.kill('SIGCONT');
    await eventually('the first relay has noticed', () => frozen.log().includes('lost its lease'));
    await eventually('the first relay waits', async () => (await relayBackends(database.pool)).length === 2);
    assert.equal(await publishingRelay(database.pool), successor);
    second.kill('SIGKILL');
    await insertEvents(database.pool, 10);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(10), ...oneTo(10)]);
  });

  it('or only stopped in the middle of a batch neither marks nor publishes when it continues', async () => {
    await addStream(100_000_000);
    await insertEvents(database.pool, 50);
    const frozen = startRelay({ FREEZE: 'published' });
    await eventually('the broker has stored the batch', async () => (await nats.count(stream)) === 20);
    const stopped = Date.now();
    await eventually('the duplicate window has passed', () => Date.now() - stopped > 500);
    const second = startRelay();
    await allPublished(database.pool);
    const marks = await publishedAt();
    frozen.kill('SIGCONT');
    await eventually('the first relay has noticed', () => frozen.log().includes('lost its lease'));
    second.kill('SIGTERM');
    await second.ended;
    // Only now can the first relay get the lease again.
    await insertEvents(database.pool, 5);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(20), ...oneTo(50), ...oneTo(5)]);
    assert.deepEqual((await publishedAt()).slice(0, 50), marks);
  });

  const publishedAt = async () =>
    (await database.pool.query('select published_at from inbox.outbox order by position')).rows;
});
