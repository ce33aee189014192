import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PublishError } from '../../../src/core/errors.ts';
import { Delivery, problemOf, verdictsOf } from '../../../src/outbox/delivery.ts';
import type { CallResult } from '../../../src/outbox/delivery.ts';
import type { PublishedEvent } from '../../../src/core/published-event.ts';

let position = 0;
const event = (aggregateId: string) =>
  ({ id: `e${(position += 1)}`, position, aggregateType: 't', aggregateId }) as PublishedEvent;
const events = (aggregates: string) => aggregates.split('').map(event);
const names = (list: readonly PublishedEvent[]) => list.map(({ aggregateId }) => aggregateId).join('');
const running = () => false;

/** A publisher that fails for the aggregates in `bad` and records its calls. */
function publisher(bad: () => string, fail: Partial<CallResult & { ok: false }> = {}) {
  const calls: string[] = [];
  const delivery = new Delivery(async (list): Promise<CallResult> => {
    calls.push(names(list));
    const failing = list.some(({ aggregateId }) => bad().includes(aggregateId));
    return failing ? { ok: false, error: new Error('no'), timedOut: false, ...fail } : { ok: true };
  });
  return { calls, delivery };
}

describe('delivery of a batch', () => {
  it('takes one call if nothing fails', async () => {
    const { calls, delivery } = publisher(() => '');
    const outcome = await delivery.deliver(events('abab'), running);
    assert.deepEqual([calls, names(outcome.published)], [['abab'], 'abab']);
  });

  it('finds the event that fails and publishes the others', async () => {
    const { delivery } = publisher(() => 'x');
    const outcome = await delivery.deliver(events('abxcxdx'), running);
    assert.equal(names(outcome.published), 'abcd');
    assert.equal(names(outcome.rejected.map(({ event: each }) => each)), 'x');
    assert.equal(outcome.failure, null);
  });

  it('finds several failing events, including the last one', async () => {
    const { delivery } = publisher(() => 'xyz');
    const outcome = await delivery.deliver(events('xaybz'), running);
    assert.equal(names(outcome.published), 'ab');
    assert.equal(names(outcome.rejected.map(({ event: each }) => each)), 'xyz');
  });

  it('needs few calls and few timeouts to find one failing event among many', async () => {
    const batch = [...Array.from({ length: 99 }, (_, n) => event(`a${n}`)), event('x'), event('b')];
    const refused = publisher(() => 'x');
    await refused.delivery.deliver(batch, running);
    assert.ok(refused.calls.length < 40, `${refused.calls.length} calls`);
    const hanging = publisher(() => 'x', { timedOut: true });
    await hanging.delivery.deliver(batch, running);
    assert.equal(hanging.calls.filter((call) => call.includes('x')).length, 2);
  });

  it('concludes that the broker is down if nothing gets through, and probes more events in each run', async () => {
    const { calls, delivery } = publisher(() => 'abcdefghij');
    const probed: number[] = [];
    for (let run = 0; run < 3; run += 1) {
      calls.length = 0;
      const outcome = await delivery.deliver(events('abcdefghij'), running);
      assert.notEqual(outcome.failure, null);
      assert.deepEqual([outcome.published, outcome.rejected], [[], []]);
      probed.push(calls.filter((call) => call.length === 1).length);
    }
    assert.deepEqual(probed, [2, 4, 8]);
    assert.ok(delivery.brokerDown);
  });

  it('rejects the failing events once another event gets through', async () => {
    const { delivery } = publisher(() => 'abcdef');
    await delivery.deliver(events('abcdefg'), running);
    await delivery.deliver(events('abcdefg'), running);
    const outcome = await delivery.deliver(events('abcdefg'), running);
    assert.equal(names(outcome.rejected.map(({ event: each }) => each)), 'abcdef');
    assert.equal(names(outcome.published), 'g');
    assert.equal(delivery.failures, 0);
  });

  it('rejects an event that is alone in the outbox after three runs, but no more than three such events', async () => {
    const { delivery } = publisher(() => 'abcde');
    const outcomes = [];
    for (const batch of ['a', 'a', 'a', 'b', 'c', 'd', 'de']) {
      outcomes.push(await delivery.deliver(events(batch), running));
    }
    assert.deepEqual(
      outcomes.map(({ rejected }) => names(rejected.map(({ event: each }) => each))),
      ['', '', 'a', 'b', 'c', '', ''],
    );
  });

  it('rejects the events that the publisher names', async () => {
    const batch = events('axbx');
    const calls: string[] = [];
    const delivery = new Delivery(async (list) => {
      calls.push(names(list));
      return {
        ok: false,
        timedOut: false,
        error: new PublishError('1 rejected', { rejected: [{ id: batch[1]!.id, problem: 'too large' }] }),
      };
    });
    const outcome = await delivery.deliver(batch, running);
    assert.deepEqual([calls, names(outcome.published)], [['axbx'], 'ab']);
    assert.equal(problemOf(outcome.rejected[0]!.error), 'too large');
  });

  it('does not search for a failing event if the publisher reports the broker as unavailable', async () => {
    const { calls, delivery } = publisher(() => 'a', {
      error: new PublishError('unavailable', { unavailable: true }),
    });
    const outcome = await delivery.deliver(events('abc'), running);
    assert.deepEqual([calls, outcome.rejected, delivery.brokerDown], [['abc'], [], true]);
  });

  it('counts events as published that were stored before the broker went down', async () => {
    const batch = events('abab');
    const delivery = new Delivery(async () => ({
      ok: false,
      timedOut: false,
      error: new PublishError('gone', { published: [batch[0]!.id, batch[3]!.id], unavailable: true }),
    }));
    const outcome = await delivery.deliver(batch, running);
    // The second b was stored, but the first was not: both are sent again, in order.
    assert.deepEqual(outcome.published, [batch[0]]);
    assert.notEqual(outcome.failure, null);
  });

  it('sends events again that the publisher does not mention', async () => {
    const batch = events('abc');
    let calls = 0;
    const delivery = new Delivery(async (list) => {
      calls += 1;
      if (calls > 1) return { ok: true };
      return { ok: false, timedOut: false, error: new PublishError('part', { published: [list[0]!.id] }) };
    });
    const outcome = await delivery.deliver(batch, running);
    assert.deepEqual([names(outcome.published), calls], ['abc', 2]);
  });

  it('ignores ids that were not in the batch', () => {
    const error = new PublishError('?', { rejected: [{ id: 'other', problem: 'p' }], published: ['other'] });
    assert.equal(verdictsOf(error, events('ab')), null);
  });

  it('hides the message of any error that is not a PublishError', () => {
    assert.equal(problemOf(new TypeError('secret')), 'TypeError');
    assert.equal(problemOf('secret'), 'string');
  });
});
