import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { startNats } from '../support/nats.ts';
import type { TestNats } from '../support/nats.ts';
import {
  addBacklog,
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

  function another(env: Record<string, string> = {}): RelayProcess {
    const started = startRelayProcess(database.url, nats.url, env);
    processes.push(started);
    return started;
  }

  /** Waits until this relay has the lease: one that was killed just before may still seem to have it. */
  async function publishes(relay: RelayProcess): Promise<string> {
    await eventually('it publishes', () => relay.log().includes('outbox relay publishes'));
    return (await publishingRelay(database.pool))!;
  }

  const stored = async () => (await nats.read(stream)).map((message) => message.json<number>());

  it('between publishing and marking publishes again, and JetStream drops the repeats', async () => {
    await addStream(2 * MINUTE);
    await addBacklog(database.pool, 50);
    await another({ DIE: 'published' }).ended;
    assert.equal(await nats.count(stream), 20);
    assert.equal(await countUnpublished(database.pool), 50);
    another();
    await allPublished(database.pool);
    assert.deepEqual(await stored(), oneTo(50));
  });

  it('does so at least once, in order, where the broker drops nothing', async () => {
    await addStream(100_000_000);
    await addBacklog(database.pool, 50);
    await another({ DIE: 'published' }).ended;
    const killed = Date.now();
    await eventually('the duplicate window has passed', () => Date.now() - killed > 500);
    another();
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(20), ...oneTo(50)]);
  });

  it('any number of times loses nothing', async () => {
    await addStream(2 * MINUTE);
    await addBacklog(database.pool, 200, 3);
    for (let round = 0; round < 4; round += 1) {
      const relay = another();
      const backlog = await countUnpublished(database.pool);
      await addBacklog(database.pool, 100, 3);
      await eventually(
        'it has published some',
        async () => (await countUnpublished(database.pool)) < backlog + 100,
      );
      relay.kill('SIGKILL');
      await relay.ended;
    }
    another();
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

  it('gives way to one that waits', async () => {
    await addStream(2 * MINUTE);
    const first = another();
    const holder = await publishes(first);
    another();
    await eventually('the second waits', async () => (await relayBackends(database.pool)).length === 2);
    assert.equal(await publishingRelay(database.pool), holder);
    first.kill('SIGKILL');
    await addBacklog(database.pool, 10);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), oneTo(10));
  });

  it('or only stopped, gives way too, and waits its turn when it goes on', async () => {
    await addStream(2 * MINUTE);
    const frozen = another();
    const holder = await publishes(frozen);
    frozen.kill('SIGSTOP');
    const second = another();
    await addBacklog(database.pool, 10);
    await allPublished(database.pool);
    const successor = await publishingRelay(database.pool);
    assert.notEqual(successor, holder);
    frozen.kill('SIGCONT');
    await eventually('the first has noticed', () => frozen.log().includes('lost its lease'));
    await eventually('it waits', async () => (await relayBackends(database.pool)).length === 2);
    assert.equal(await publishingRelay(database.pool), successor);
    second.kill('SIGKILL');
    await addBacklog(database.pool, 10);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(10), ...oneTo(10)]);
  });

  it('or only stopped with a batch under way, neither marks nor publishes when it goes on', async () => {
    await addStream(100_000_000);
    await addBacklog(database.pool, 50);
    const frozen = another({ FREEZE: 'published' });
    await eventually('its batch is stored', async () => (await nats.count(stream)) === 20);
    const stopped = Date.now();
    await eventually('the duplicate window has passed', () => Date.now() - stopped > 500);
    const second = another();
    await allPublished(database.pool);
    const marks = await marked();
    frozen.kill('SIGCONT');
    await eventually('the first has noticed', () => frozen.log().includes('lost its lease'));
    second.kill('SIGTERM');
    await second.ended;
    // The first has its turn again only now.
    await addBacklog(database.pool, 5);
    await allPublished(database.pool);
    assert.deepEqual(await stored(), [...oneTo(20), ...oneTo(50), ...oneTo(5)]);
    assert.deepEqual((await marked()).slice(0, 50), marks);
  });

  const marked = async () =>
    (await database.pool.query('select published_at from inbox.outbox order by position')).rows;
});
