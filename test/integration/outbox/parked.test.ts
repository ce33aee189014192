/**
 * An event that the broker rejects holds back only its own aggregate.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { Queryable } from '../../../src/platform/queryable.ts';
import { PublishError } from '../../../src/core/errors.ts';
import { parkedEvents, releaseAllEvents } from '../../../src/operations/index.ts';
import type { PublishedEvent } from '../../../src/core/published-event.ts';
import { releaseLease, renewLease, takeLease } from '../../../src/store/outbox-lease.ts';
import { unparkAggregate, parkAggregate } from '../../../src/store/outbox-parked.ts';
import { findUnpublished, markPublished } from '../../../src/store/outbox.ts';
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
  parkedRows,
  recorder,
  createRelays,
} from '../../support/outbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const isBad = ({ aggregateId }: PublishedEvent) => aggregateId.startsWith('bad');

function assertInOrder(events: readonly PublishedEvent[]): void {
  for (const [id, numbers] of byAggregate(events)) assert.deepEqual(numbers, oneTo(numbers.length), id);
}

const rejectBad = async (events: readonly PublishedEvent[]) => {
  if (events.some(isBad)) throw new PublishError('no');
};

describe('an event that the broker rejects', () => {
  let database: TestDatabase;
  const relays = createRelays(() => database.url);
  const relay = relays.start;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());
  beforeEach(() => emptyOutbox(database.pool));
  afterEach(() => relays.stopAll());

  /** Adds `each` events for every aggregate, one round after the other. The payload numbers the events of an aggregate. */
  const add = (aggregates: string[], each = 1) =>
    database.pool.query(
      `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
       select 'account', id, 'Happened', to_jsonb(n), 'message'
       from generate_series(1, $2) n cross join unnest($1::text[]) with ordinality as a (id, place) order by n, place`,
      [aggregates, each],
    );
  const published = (ids: string[]) =>
    eventually(`${ids.join()} are published`, async () => {
      const [found] = await rows<{ count: number }>(
        database.pool,
        `select count(*)::integer as count from inbox.outbox where aggregateid = any ($1) and published_at is null`,
        [ids],
      );
      return found!.count === 0;
    });
  for (const kind of ['named', 'unnamed'] as const) {
    it(`holds back its own aggregate, in order, until it is accepted (${kind})`, async () => {
      let fixed = false;
      const seen: PublishedEvent[] = [];
      const publish = async (events: readonly PublishedEvent[]) => {
        const bad = fixed ? undefined : events.find((event) => isBad(event) && event.payload === 2);
        if (bad && kind === 'unnamed') throw new TypeError('secret');
        // Like the NATS publisher: publishes all events except the rejected one and later ones of its aggregate.
        seen.push(...events.filter((event) => !bad || !isBad(event) || event.position < bad.position));
        if (bad) throw new PublishError('rejected', { rejected: [{ id: bad.id, problem: 'too large' }] });
      };
      await add(['good1', 'bad', 'good2'], 5);
      const log = relay({ publish }).lines;
      await published(['good1', 'good2']);
      await eventually('the aggregate is parked', async () => (await parkedRows(database.pool)).length === 1);
      const [parked] = await parkedEvents(database.pool);
      assert.deepEqual([parked!.aggregateId, parked!.behind], ['bad', 3]);
      assert.equal(parked!.error, kind === 'named' ? 'too large' : 'TypeError');
      await add(['bad', 'good1'], 5);
      await published(['good1']);
      await eventually('later events wait behind it', async () => {
        const [now] = await parkedEvents(database.pool);
        return now!.behind === 8 && now!.attempts >= 2;
      });
      assert.equal(await countUnpublished(database.pool), 9);
      fixed = true;
      await releaseAllEvents(database.pool);
      await allPublished(database.pool);
      assert.deepEqual(byAggregate(seen).get('bad'), [...oneTo(5), ...oneTo(5)]);
      await eventually(
        'the aggregate is no longer parked',
        async () => (await parkedRows(database.pool)).length === 0,
      );
      await add(['bad']);
      await allPublished(database.pool);
      assert.ok(log.every((line) => !line.includes('secret')));
    });
  }

  it('stays parked with its attempts and next retry time when another relay takes over', async () => {
    await add(['bad', 'good']);
    const first = relay({ publish: rejectBad });
    await eventually(
      'the event was tried twice',
      async () => (await parkedRows(database.pool))[0]?.attempts === 2,
    );
    await first.stop();
    const [beforeTakeover] = await rows(
      database.pool,
      'select attempts, next_try_at from inbox.outbox_parked',
    );
    await add(['bad', 'good']);
    relay({ publish: rejectBad });
    await published(['good']);
    const [afterTakeover] = await rows(
      database.pool,
      'select attempts, next_try_at from inbox.outbox_parked',
    );
    assert.deepEqual(afterTakeover, beforeTakeover);
    await eventually(
      'the event is retried',
      async () => (await parkedRows(database.pool))[0]!.attempts === 3,
    );
    const [delay] = await rows<{ seconds: number }>(
      database.pool,
      'select extract(epoch from next_try_at - failed_at)::float8 as seconds from inbox.outbox_parked',
    );
    assert.equal(delay!.seconds, 4);
  });

  it('does not block the relay while an operator releases or skips it in an open transaction', async () => {
    let fixed = false;
    const publish = async (events: readonly PublishedEvent[]) => {
      if (!fixed) await rejectBad(events);
    };
    await add(['bad1', 'bad2', 'bad3', 'good']);
    const log = relay({ publish }).lines;
    await eventually(
      'three aggregates are parked',
      async () => (await parkedRows(database.pool)).length === 3,
    );
    const parked = await parkedEvents(database.pool);
    const eventOf = (aggregate: string) => parked.find(({ aggregateId }) => aggregateId === aggregate)!.id;
    const operator = await database.pool.connect();
    try {
      await operator.query('begin');
      await operator.query(`select inbox.release_parked(array[$1::uuid], 'ada', null)`, [eventOf('bad1')]);
      await operator.query('update inbox.outbox set published_at = now() where id = $1', [eventOf('bad2')]);
      await operator.query('update inbox.outbox_parked set next_try_at = now() where event_id = $1', [
        eventOf('bad2'),
      ]);
      fixed = true;
      await add(['bad3', 'good'], 3);
      await published(['bad3', 'good']);
      await eventually(
        'only the two locked aggregates are parked',
        async () => (await parkedRows(database.pool)).length === 2,
      );
      await operator.query('commit');
    } finally {
      operator.release(true);
    }
    await allPublished(database.pool);
    await eventually('nothing is parked', async () => (await parkedRows(database.pool)).length === 0);
    const problems = log.filter((line) => /lock|lease|Postgres/.test(line));
    assert.deepEqual(problems, []);
  });

  it('holds back only its own aggregate if the publisher hangs on it, even during its retries', async () => {
    let hanging = 0;
    const seen: PublishedEvent[] = [];
    const publish = async (events: readonly PublishedEvent[], signal: AbortSignal) => {
      if (events.some(isBad)) {
        hanging += 1;
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      }
      seen.push(...events);
    };
    await add(['bad', 'good']);
    relay({ publish, publishTimeout: '5s' });
    await published(['good']);
    await eventually('the event is retried', () => hanging >= 3);
    const began = hanging;
    for (const n of oneTo(10)) {
      await add([`other${n}`]);
      await published([`other${n}`]);
    }
    assert.equal(hanging, began, 'the same retry was running the whole time');
    assertInOrder(seen.filter(({ aggregateId }) => aggregateId !== 'bad'));
  });

  it('is not assumed while the broker is down: nothing is parked, and order is kept afterwards', async () => {
    let isDown = true;
    let calls = 0;
    const seen = recorder(() => {
      calls += 1;
      if (isDown) throw new Error('ECONNREFUSED');
    });
    await insertEvents(database.pool, 2_000, 100);
    relay({ publish: seen.publish, maximumBackoff: '200ms' });
    await eventually('the relay has tried for a while', () => calls > 60);
    assert.deepEqual(await parkedRows(database.pool), []);
    isDown = false;
    await allPublished(database.pool);
    assert.equal(seen.published.length, 2_000);
    for (const [id, numbers] of byAggregate(seen.published)) {
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
        id,
      );
    }
    await eventually('nothing is parked', async () => (await parkedRows(database.pool)).length === 0);
  });

  it('is retried as soon as the broker is back if it was parked just as the broker went down', async () => {
    let state: 'up' | 'failing' | 'down' = 'up';
    // When the broker fails, it rejects a batch, accepts one more event, and then accepts nothing.
    const seen = recorder((events) => {
      if (state === 'down' || (state === 'failing' && events.length > 1)) throw new Error('gone');
      if (state === 'failing') state = 'down';
    });
    const aggregates = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6'];
    await add(aggregates);
    const log = relay({ publish: seen.publish, maximumBackoff: '100ms', maximumParkedBackoff: '1h' }).lines;
    await allPublished(database.pool);
    state = 'failing';
    await add(aggregates, 3);
    // The accepted event makes the relay conclude that the broker is up and rejects the next event of each aggregate.
    await eventually('every aggregate is parked, and its retry failed', async () => {
      const parked = await parkedRows(database.pool);
      return parked.length === aggregates.length && parked.every(({ attempts }) => attempts >= 2);
    });
    // Too many to park them without proof that the broker is up.
    await add(['b1', 'b2', 'b3', 'b4']);
    await eventually('the relay notices that the broker is down', () =>
      log.some((line) => line.includes('failures=3')),
    );
    // As if the retries had failed for hours: the next ones are due in an hour.
    await database.pool.query(
      `update inbox.outbox_parked set failed_at = now(), next_try_at = now() + interval '1 hour'`,
    );
    state = 'up';
    await allPublished(database.pool);
    assert.equal(seen.published.length, 6 + 18 + 4);
    assertInOrder(seen.published.slice(6));
  });

  it('does not slow down other aggregates if a thousand aggregates have one', async (t) => {
    const bad = oneTo(1_000).map((n) => `bad${n}`);
    const seen = recorder((events) => {
      if (events.some(isBad)) throw new Error('no');
    });
    // The rejected events come first, so no batch succeeds before the last of them is reached.
    await add(bad);
    await add(['good']);
    const first = relay({ publish: seen.publish, maximumBackoff: '50ms' });
    await published(['good']);
    await eventually(
      'all bad aggregates are parked',
      async () => (await parkedRows(database.pool)).length === 1_000,
    );
    await first.stop();
    const ids = oneTo(50).map((n) => `g${n}`);
    await add(ids, 40);
    const read = await fullScanBelow(500);
    t.diagnostic(`with 1,000 parked aggregates, a scan of 1,000 events reads ${read} buffers`);
    relay({ publish: seen.publish, maximumBackoff: '50ms' });
    await published(ids);
    assert.deepEqual(byAggregate(seen.published).get('g1'), oneTo(40));
  });

  it('costs other aggregates nothing with 100,000 events waiting behind it, which are published in order later', async (t) => {
    let fixed = false;
    const seen = recorder((events) => {
      const bad = events.filter(isBad);
      if (!fixed && bad.length > 0) {
        const stored = events.filter((event) => !isBad(event)).map(({ id }) => id);
        throw new PublishError('no', { rejected: [{ id: bad[0]!.id, problem: 'no' }], published: stored });
      }
    });
    await add(['bad'], 100_000);
    const options = { publish: seen.publish, batchSize: 1_000, maximumParkedBackoff: '1s' } as const;
    const first = relay(options);
    await eventually('all events are in the lane', async () => {
      const [found] = await rows(database.pool, 'select from inbox.outbox where parked = 0 limit 1');
      return found === undefined;
    });
    await first.stop();
    await add(['good'], 2_000);
    const read = await fullScanBelow(500);
    t.diagnostic(`a scan of 1,000 events reads ${read} buffers`);
    relay(options);
    await published(['good']);
    fixed = true;
    await allPublished(database.pool);
    const numbers = seen.published.filter(isBad).map(({ payload }) => payload);
    assert.deepEqual(numbers, oneTo(100_000));
    await eventually(
      'the aggregate is no longer parked',
      async () => (await parkedRows(database.pool)).length === 0,
    );
  });

  /** The buffers that the most expensive scan, a full scan, reads. */
  const buffersOfFullScan = async () => {
    let plan = '';
    const explaining = {
      async query(text: string, values: unknown[]) {
        const explain = await database.pool.query<{ 'QUERY PLAN': string }>(
          `explain (analyze, buffers) ${text}`,
          values,
        );
        plan = explain.rows.map((row) => row['QUERY PLAN']).join('\n');
        return { rows: [] };
      },
    } as unknown as Queryable;
    await findUnpublished(explaining, -1, [], { events: 1_000, bytes: 8_000_000 });
    assert.match(plan, /^[^\n]*\(actual [^\n]* rows=1000(\.00)? loops=1\)/, 'the scan finds a full batch');
    const buffers = /Buffers: shared hit=(\d+)(?: read=(\d+))?/.exec(plan);
    return Number(buffers![1]) + Number(buffers![2] ?? 0);
  };

  /**
   * Waits until a full scan reads fewer than `limit` buffers. No relay may run, because it would publish the events that the
   * scan must find. Vacuum is repeated, because it cannot remove dead rows that a concurrent analyze still sees.
   */
  const fullScanBelow = (limit: number) =>
    eventually(`a scan reads fewer than ${limit} buffers`, async () => {
      await database.pool.query('vacuum (analyze, index_cleanup on) inbox.outbox, inbox.outbox_parked');
      const read = await buffersOfFullScan();
      assert.ok(read < limit, `a scan reads ${read} buffers`);
      return read;
    });

  it('is not missed by a relay that takes over just as its lane is merged', async () => {
    const holder = '00000000-0000-0000-0000-000000000001';
    await add(['a', 'b'], 3);
    const [first] = await rows<{ id: string; position: number }>(
      database.pool,
      `select id, position::integer from inbox.outbox where aggregateid = 'a' order by position limit 1`,
    );
    const events = await rows<{ id: string }>(
      database.pool,
      `select id from inbox.outbox where aggregateid = 'a' order by position`,
    );
    await takeLease(database.pool, { holder, name: 'test', leaseMs: 60_000 });
    await renewLease(database.pool, { holder, name: 'test', leaseMs: 60_000 }, 1_000_000_000);
    const rejection = { key: 'AA==', eventId: first!.id, error: 'no', attempts: 1, delayMs: 1 };
    const lane = await parkAggregate(
      database.pool,
      holder,
      rejection,
      events.map(({ id }) => id),
    );
    const merged = await unparkAggregate(database.pool, holder, lane!);
    assert.deepEqual([merged.held, merged.merged, merged.positions.length], [true, true, 3]);
    const [lease] = await rows<{ position: number }>(
      database.pool,
      'select position::integer from inbox.outbox_lease',
    );
    assert.equal(lease!.position, first!.position - 1);
    assert.equal(
      await markPublished(database.pool, '00000000-0000-0000-0000-000000000002', [first!.id]),
      false,
    );
    await releaseLease(database.pool, holder, lease!.position);
    const { published: seen, publish } = recorder();
    relay({ publish });
    await allPublished(database.pool);
    assertInOrder(seen);
  });

  it('is published in order with the others if its lane no longer exists', async () => {
    await add(['lost']);
    await database.pool.query('update inbox.outbox set parked = 4711');
    const { published: seen, publish } = recorder();
    relay({ publish });
    await allPublished(database.pool);
    assert.equal(seen.length, 1);
  });

  it('does not count an attempt that was interrupted by stopping the relay', async () => {
    const trying = gate();
    const publish = async (events: readonly PublishedEvent[], signal: AbortSignal) => {
      if (!events.some(isBad)) return;
      if (events.length === 1 && (await parkedRows(database.pool)).length > 0) {
        trying.open();
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      }
      throw new Error('no');
    };
    await add(['bad', 'good']);
    const stopped = relay({ publish });
    await trying.opened;
    await stopped.stop();
    const [row] = await parkedRows(database.pool);
    assert.equal(row!.attempts, 1, 'the interrupted retry is not counted');
  });
});
