import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { AttemptSlots } from '../../../activities/attempt-slots.ts';
import type { AttemptKind } from '../../../activities/attempt-slots.ts';
import { TypeSlots } from '../../../src/dispatch/type-slots.ts';
import { gate } from '../../support/wait.ts';
import type { Gate } from '../../support/wait.ts';

/** Everything that can go on without a timer has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('slots of attempts that Temporal asks for', () => {
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

  /** An attempt that runs until its gate is opened; resolves with its name, or with the reason why it was put off. */
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

  it('run at once until the type has all but the last, which another type gets', async () => {
    void several('A', 9);
    void attempt('B0', 'B');
    await settled();
    assert.deepEqual(running, ['A0', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'B0']);
  });

  it('let waiting attempts have their turn in their order, those of a type below its share first', async () => {
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

  it('put an attempt off that waited for two seconds, and at once when two of its type wait', async () => {
    const attempts = several('A', 10);
    const [last] = attempts.slice(-1);
    const failure = await last;
    assert.ok(failure instanceof ApplicationFailure);
    assert.equal(failure.type, 'WaitsForItsTurn');
    assert.match(failure.message, /^A uses its share/);
    mock.timers.tick(2_000);
    const waited = await attempts[7];
    assert.ok(waited instanceof ApplicationFailure);
    assert.ok(Number(waited.nextRetryDelay) >= 500 && Number(waited.nextRetryDelay) <= 30_000);
    assert.equal(running.length, 7);
  });

  it('delay each that is put off a little more, and none for more than half a minute', async () => {
    void several('A', 7, 'other');
    const putOff = (await Promise.all(several('A', 2_000, 'other'))) as ApplicationFailure[];
    const delays = putOff.map(({ nextRetryDelay }) => Number(nextRetryDelay));
    assert.ok(delays.every((delay) => delay >= 500 && delay <= 30_000));
    assert.ok(delays.at(-1)! >= 27_000 && delays[0]! <= 1_000, `${delays[0]} … ${delays.at(-1)}`);
  });

  it('give an ordinary attempt its own, and also those of first attempts where it is one that was put off', async () => {
    void several('A', 8, 'other');
    void attempt('late', 'A', 'late');
    await settled();
    assert.deepEqual(running, ['A0', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'late']);
  });

  it('let a third type wait for its share while two floods fill all places', async () => {
    void several('A', 9);
    void several('B', 6);
    void several('C', 2);
    await settled();
    // A has seven of eight, B the last one; C waits, and gets the next one.
    assert.ok(!running.includes('C0'));
    gates.get('A0')!.open();
    await settled();
    assert.equal(running.at(-1), 'C0');
  });
});
