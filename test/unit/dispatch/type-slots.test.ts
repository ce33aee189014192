import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TypeSlots } from '../../../src/dispatch/type-slots.ts';
import { fc } from '../../support/random.ts';

/** What the types may take now, while these wait. */
function rooms(slots: TypeSlots, types: string[], waiting: string[] = []): number[] {
  waits.set(slots, waiting);
  return types.map((type) => slots.capacity().of(type));
}

const waits = new WeakMap<TypeSlots, string[]>();

function create(size: number, types: number): TypeSlots {
  const slots = new TypeSlots(size, types);
  slots.addUser({ waiting: () => waits.get(slots) ?? [], freed: () => {} });
  return slots;
}

function take(slots: TypeSlots, type: string, count: number): void {
  for (let index = 0; index < count; index += 1) slots.take(type);
}

describe('slots that command types share', () => {
  it('are all for the only type there is', () => {
    assert.deepEqual(rooms(create(32, 1), ['A']), [32]);
  });

  it('leave an eighth to types that hold none, one for each', () => {
    const slots = create(32, 3);
    assert.deepEqual(rooms(slots, ['A']), [28]);
    take(slots, 'A', 28);
    assert.deepEqual(rooms(slots, ['A', 'B', 'C']), [0, 1, 1]);
    slots.take('B');
    assert.deepEqual(rooms(slots, ['A', 'B', 'C']), [0, 0, 1]);
  });

  it('go to the type below its share when both wait', () => {
    const slots = create(32, 3);
    const waiting = ['A', 'B'];
    take(slots, 'A', 20);
    take(slots, 'B', 4);
    // Half of 28 each.
    assert.deepEqual(rooms(slots, ['A', 'B'], waiting), [0, 4]);
    assert.deepEqual(rooms(slots, ['A'], ['A']), [4]);
    for (let index = 0; index < 6; index += 1) slots.release('A');
    take(slots, 'B', 10);
    assert.deepEqual(rooms(slots, ['A', 'B'], waiting), [0, 0]);
    slots.release('A');
    assert.deepEqual(rooms(slots, ['A', 'B'], waiting), [1, 0]);
  });

  it('keep one of two free, and none of one', () => {
    assert.deepEqual(rooms(create(2, 2), ['A']), [1]);
    assert.deepEqual(rooms(create(1, 2), ['A']), [1]);
  });

  it('leave one to a type that holds none also where another one holds more than there are', () => {
    const slots = create(8, 3);
    take(slots, 'A', 10);
    assert.deepEqual(rooms(slots, ['A', 'B']), [0, 1]);
    slots.take('B');
    assert.deepEqual(rooms(slots, ['A', 'B', 'C']), [0, 0, 0]);
  });

  it('tell everybody who gives them out when one is free, and know who waits with the others', () => {
    const slots = create(2, 2);
    let freed = 0;
    slots.addUser({ waiting: () => ['B'], freed: () => (freed += 1) });
    slots.take('A');
    assert.deepEqual(rooms(slots, ['A', 'B']), [0, 1]);
    slots.release('A');
    assert.equal(freed, 1);
  });

  it('are refused when they are given back twice', () => {
    const slots = create(2, 2);
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
          const slots = create(size, types.length);
          waits.set(slots, wait);
          const held = new Map(types.map((type) => [type, 0]));
          for (const { type, isTake } of steps) {
            const room = slots.capacity();
            const used = [...held.values()].reduce((sum, count) => sum + count, 0);
            for (const each of types) {
              assert.ok(room.of(each) >= 0 && room.of(each) <= size - used);
              if (held.get(each) === 0 && used < size) assert.ok(room.of(each) >= 1);
            }
            // Somebody who waits can always have what is not kept free.
            if (wait.length > 0 && slots.open > 0) assert.ok(wait.some((each) => room.of(each) >= 1));
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
