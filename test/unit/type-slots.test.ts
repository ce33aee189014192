import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TypeSlots } from '../../src/type-slots.ts';
import { fc } from '../support/random.ts';

const NOBODY = new Set<string>();

function take(slots: TypeSlots, type: string, count: number): void {
  for (let index = 0; index < count; index += 1) slots.take(type);
}

describe('slots that command types share', () => {
  it('are all for the only type there is', () => {
    const slots = new TypeSlots(32, 1);
    assert.equal(slots.room(NOBODY).of('A'), 32);
  });

  it('leave an eighth to types that hold none, one for each', () => {
    const slots = new TypeSlots(32, 3);
    assert.equal(slots.room(NOBODY).of('A'), 28);
    take(slots, 'A', 28);
    assert.deepEqual(['A', 'B', 'C'].map(slots.room(NOBODY).of), [0, 1, 1]);
    slots.take('B');
    assert.deepEqual(['A', 'B', 'C'].map(slots.room(NOBODY).of), [0, 0, 1]);
  });

  it('go to the type below its share when both wait', () => {
    const slots = new TypeSlots(32, 3);
    const waiting = new Set(['A', 'B']);
    take(slots, 'A', 20);
    take(slots, 'B', 4);
    // Half of 28 each.
    assert.deepEqual(['A', 'B'].map(slots.room(waiting).of), [0, 4]);
    assert.equal(slots.room(new Set(['A'])).of('A'), 4);
    for (let index = 0; index < 6; index += 1) slots.release('A');
    take(slots, 'B', 10);
    assert.deepEqual(['A', 'B'].map(slots.room(waiting).of), [0, 0]);
    slots.release('A');
    assert.deepEqual(['A', 'B'].map(slots.room(waiting).of), [1, 0]);
  });

  it('are refused when they are given back twice', () => {
    const slots = new TypeSlots(2, 2);
    slots.take('A');
    slots.release('A');
    assert.throws(() => slots.release('A'), /twice/);
  });

  it('starve no type, whatever the others do', () => {
    const types = ['A', 'B', 'C', 'D', 'E'];
    const step = fc.record({ type: fc.constantFrom(...types), isTake: fc.boolean() });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(step, { maxLength: 200 }),
        fc.subarray(types),
        (size, steps, wait) => {
          const slots = new TypeSlots(size, types.length);
          const waiting = new Set(wait);
          const held = new Map(types.map((type) => [type, 0]));
          for (const { type, isTake } of steps) {
            const room = slots.room(waiting);
            const used = [...held.values()].reduce((sum, count) => sum + count, 0);
            for (const each of types) {
              assert.ok(room.of(each) >= 0 && room.of(each) <= size - used);
              if (held.get(each) === 0 && used < size) assert.ok(room.of(each) >= 1);
            }
            // Somebody who waits can always have what is not kept free.
            if (waiting.size > 0 && slots.open > 0)
              assert.ok([...waiting].some((each) => room.of(each) >= 1));
            const own = held.get(type)!;
            if (isTake && room.of(type) > 0) {
              slots.take(type);
              held.set(type, own + 1);
            } else if (!isTake && own > 0) {
              slots.release(type);
              held.set(type, own - 1);
            }
          }
        },
      ),
    );
  });
});
