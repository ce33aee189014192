import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { AttemptSlots } from '../../../activities/attempt-slots.ts';
import type { AttemptKind } from '../../../activities/attempt-slots.ts';
import { TypeSlots } from '../../../src/dispatch/type-slots.ts';
import { gate } from '../../support/wait.ts';
import type { Gate } from '../../support/wait.ts';

/** Waits until everything that needs no timer has run. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('AttemptSlots', () => {
  let slots: AttemptSlots;
  let running: string[];
  let gates: Map<string, Gate>;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    slots = new AttemptSlots({ first: new TypeSlots(8, 3), other: new TypeSlots(8, 3), places: 4 });
    running = [];
    gates = new Map();
  });
  afterEach(() => mock.timers.reset());

  /** Runs an attempt until its gate is opened. Resolves with its name, or with the failure that deferred it. */
  function attempt(name: string, type: string, kind: AttemptKind = 'first') {
    const until = gate();
    gates.set(name, until);
    return slots
      .run(type, kind, async () => {
        running.push(name);
        await until.opened;
        return name;
      })
      .catch((error: unknown) => error);
  }
  const several = (type: string, count: number, kind: AttemptKind = 'first') =>
    Array.from({ length: count }, (_, index) => attempt(`${type}${index}`, type, kind));

  it('gives one type all slots but the last, which stays free for another type', async () => {
    void several('A', 9);
    void attempt('B0', 'B');
    await settled();
    assert.deepEqual(running, ['A0', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'B0']);
  });

  it('admits waiting attempts in order, but those of a type below its share first', async () => {
    void several('A', 9);
    void several('B', 2);
    await settled();
    gates.get('A0')!.open();
    gates.get('A1')!.open();
    await settled();
    assert.deepEqual(running.slice(-1), ['B1']);
    for (const name of ['A2', 'A3']) gates.get(name)!.open();
    await settled();
    assert.deepEqual(running.slice(-2), ['A7', 'A8']);
  });

  it('defers an attempt after a wait of two seconds, or immediately if two of its type are waiting', async () => {
    const attempts = several('A', 10);
    const [last] = attempts.slice(-1);
    const failure = await last;
    assert.ok(failure instanceof ApplicationFailure);
    assert.equal(failure.type, 'WaitsForItsTurn');
    assert.match(failure.message, /^A uses its full share/);
    mock.timers.tick(2_000);
    const waited = await attempts[7];
    assert.ok(waited instanceof ApplicationFailure);
    assert.ok(Number(waited.nextRetryDelay) >= 500 && Number(waited.nextRetryDelay) <= 30_000);
    assert.equal(running.length, 7);
  });

  it('defers each further attempt a little longer, but none for more than 30 s', async () => {
    void several('A', 7, 'other');
    const deferred = (await Promise.all(several('A', 2_000, 'other'))) as ApplicationFailure[];
    const delays = deferred.map(({ nextRetryDelay }) => Number(nextRetryDelay));
    assert.ok(delays.every((delay) => delay >= 500 && delay <= 30_000));
    assert.ok(delays.at(-1)! >= 27_000 && delays[0]! <= 1_000, `${delays[0]} … ${delays.at(-1)}`);
  });

  it('gives retries their own slots, and a deferred first attempt slots of both kinds', async () => {
    void several('A', 8, 'other');
    void attempt('late', 'A', 'late');
    await settled();
    assert.deepEqual(running, ['A0', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'late']);
  });

  it('lets a third type wait for its share while two flooding types take all waiting places', async () => {
    void several('A', 9);
    void several('B', 6);
    void several('C', 2);
    await settled();
    // A has seven of the eight slots and B the last one. C waits and gets the next free slot.
    assert.ok(!running.includes('C0'));
    gates.get('A0')!.open();
    await settled();
    assert.equal(running.at(-1), 'C0');
  });
});
