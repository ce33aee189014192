import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TypeSlots } from '../../../src/dispatch/type-slots.ts';
import { fc } from '../../support/random.ts';

/** How many slots each of the types may take now, while the types in `waiting` wait. */
function capacities(slots: TypeSlots, types: string[], waiting: string[] = []): number[] {
  waitingTypes.set(slots, waiting);
  return types.map((type) => slots.capacity().of(type));
}

const waitingTypes = new WeakMap<TypeSlots, string[]>();

function create(size: number, types: number): TypeSlots {
  const slots = new TypeSlots(size, types);
  slots.addUser({ waiting: () => waitingTypes.get(slots) ?? [], freed: () => {} });
  return slots;
}

function take(slots: TypeSlots, type: string, count: number): void {
  for (let index = 0; index < count; index += 1) slots.take(type);
}

describe('slots that command types share', () => {
  it('are all available to the only type', () => {
    assert.deepEqual(capacities(create(32, 1), ['A']), [32]);
  });

  it('keep an eighth free for types that hold no slot, one slot for each', () => {
    const slots = create(32, 3);
    assert.deepEqual(capacities(slots, ['A']), [28]);
    take(slots, 'A', 28);
    assert.deepEqual(capacities(slots, ['A', 'B', 'C']), [0, 1, 1]);
    slots.take('B');
    assert.deepEqual(capacities(slots, ['A', 'B', 'C']), [0, 0, 1]);
  });

  it('go to the type below its share when both wait', () => {
    const slots = create(32, 3);
    const waiting = ['A', 'B'];
    take(slots, 'A', 20);
    take(slots, 'B', 4);
    // Half of 28 each.
    assert.deepEqual(capacities(slots, ['A', 'B'], waiting), [0, 4]);
    assert.deepEqual(capacities(slots, ['A'], ['A']), [4]);
    for (let index = 0; index < 6; index += 1) slots.release('A');
    take(slots, 'B', 10);
    assert.deepEqual(capacities(slots, ['A', 'B'], waiting), [0, 0]);
    slots.release('A');
    assert.deepEqual(capacities(slots, ['A', 'B'], waiting), [1, 0]);
  });

  it('keep one slot of two free, and none if there is only one', () => {
    assert.deepEqual(capacities(create(2, 2), ['A']), [1]);
    assert.deepEqual(capacities(create(1, 2), ['A']), [1]);
  });

  it('include one for a type without a slot even if another type holds more slots than there are', () => {
    const slots = create(8, 3);
    take(slots, 'A', 10);
    assert.deepEqual(capacities(slots, ['A', 'B']), [0, 1]);
    slots.take('B');
    assert.deepEqual(capacities(slots, ['A', 'B', 'C']), [0, 0, 0]);
  });

  it('notify every user when a slot is released, and consider the types that wait with any user', () => {
    const slots = create(2, 2);
    let freed = 0;
    slots.addUser({ waiting: () => ['B'], freed: () => (freed += 1) });
    slots.take('A');
    assert.deepEqual(capacities(slots, ['A', 'B']), [0, 1]);
    slots.release('A');
    assert.equal(freed, 1);
  });

  it('cannot be released twice', () => {
    const slots = create(2, 2);
    slots.take('A');
    slots.release('A');
    assert.throws(() => slots.release('A'), /twice/);
  });

  it('never starve a type, whatever the other types do', () => {
    const types = ['A', 'B', 'C', 'D', 'E'];
    const step = fc.record({ type: fc.constantFrom(...types), isTake: fc.boolean() });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(step, { maxLength: 200 }),
        fc.subarray(types),
        (size, steps, waiting) => {
          const slots = create(size, types.length);
          waitingTypes.set(slots, waiting);
          const held = new Map(types.map((type) => [type, 0]));
          for (const { type, isTake } of steps) {
            const capacity = slots.capacity();
            const used = [...held.values()].reduce((sum, count) => sum + count, 0);
            for (const each of types) {
              assert.ok(capacity.of(each) >= 0 && capacity.of(each) <= size - used);
              if (held.get(each) === 0 && used < size) assert.ok(capacity.of(each) >= 1);
            }
            // At least one waiting type can always take a slot that is not kept free.
            if (waiting.length > 0 && slots.open > 0)
              assert.ok(waiting.some((each) => capacity.of(each) >= 1));
            const own = held.get(type)!;
            if (isTake && capacity.of(type) > 0) {
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
