import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Floors } from '../../../src/dispatch/floors.ts';
import { fc } from '../../support/random.ts';

const LIMITS = { minimumMs: 1_000, maximumMs: 10_000 };
const withFloors = () => false;
const withoutFloors = () => true;
const row = (commandType: string, at: number) => ({ commandType, at });

describe('floors', () => {
  it('start without one, and rise to half a second and a margin before a look that found everything', () => {
    const floors = new Floors(LIMITS);
    const shares = floors.ask(['A'], 10, withFloors, 0);
    assert.deepEqual(shares, [{ type: 'A', floor: -Infinity, most: 10 }]);
    floors.looked(shares, [row('A', 90)], 100);
    assert.equal(floors.ask(['A'], 10, withFloors, 0)[0]!.floor, 99.4);
  });

  it('are only a moment back where a look follows one that took rows, and wide again ten times a second', () => {
    const floors = new Floors(LIMITS);
    const floorAt = (nowMs: number, taken: number) => {
      const shares = floors.ask(['A'], 10, withFloors, nowMs);
      floors.looked(
        shares,
        Array.from({ length: taken }, () => row('A', 100)),
        100,
      );
      return shares[0]!.floor;
    };
    floorAt(0, 1);
    assert.deepEqual(
      [floorAt(1, 1), floorAt(2, 1), floorAt(100, 0), floorAt(100.5, 1), floorAt(101, 1), floorAt(201, 1)],
      [99.4, 99.95, 99.95, 99.4, 99.95, 99.4],
    );
  });

  it('rise only to the newest row taken when there may be more', () => {
    const floors = new Floors(LIMITS);
    const shares = floors.ask(['A'], 2, withFloors, 0);
    floors.looked(shares, [row('A', 50), row('A', 40)], 100);
    assert.ok(floors.hasBacklog('A'));
    assert.equal(floors.ask(['A'], 2, withFloors, 0)[0]!.floor, 49.4);
  });

  it('sink to a late row when a full look may not have found all of them', () => {
    const floors = new Floors(LIMITS);
    floors.looked(floors.ask(['A'], 2, withFloors, 0), [], 100);
    floors.looked(floors.ask(['A'], 2, withoutFloors, 0), [row('A', 10), row('A', 11)], 101);
    assert.equal(floors.ask(['A'], 2, withFloors, 0)[0]!.floor, 10.4);
  });

  it('are left out by a full look, and by every look after a reset', () => {
    const floors = new Floors(LIMITS);
    floors.looked(floors.ask(['A'], 2, withFloors, 0), [], 100);
    const shares = floors.ask(['A'], 2, withoutFloors, 0);
    assert.equal(shares[0]!.floor, -Infinity);
    floors.fullLookEnded(shares, 0, 1);
    floors.reset();
    assert.equal(floors.ask(['A'], 2, withFloors, 0)[0]!.floor, -Infinity);
    assert.ok(floors.isFullLookDue('A', 2));
  });

  it('has a full look cost 2 % of the time, 10 % after a hint, within the limits', () => {
    const floors = new Floors(LIMITS);
    const shares = [{ type: 'A', floor: -Infinity, most: 1 }];
    const isDue = (nowMs: number, hinted = false) => floors.isFullLookDue('A', nowMs, hinted);
    assert.ok(isDue(0));
    floors.fullLookEnded(shares, 0, 100);
    assert.ok(!isDue(5_000) && isDue(5_100));
    assert.ok(!isDue(1_000, true) && isDue(1_100, true));
    floors.fullLookEnded(shares, 0, 1);
    assert.ok(!isDue(1_000) && isDue(1_001));
    floors.fullLookEnded(shares, 0, 60_000);
    assert.ok(!isDue(69_999) && isDue(70_000));
  });

  it('are due for a full look until the type itself was asked without a floor', () => {
    const floors = new Floors(LIMITS);
    const both = ['A', 'B'];
    const asked = floors.ask(both, 10, withoutFloors, 0, (type) => (type === 'A' ? 0 : 5));
    floors.fullLookEnded(asked, 0, 1);
    assert.deepEqual(
      both.map((type) => floors.isFullLookDue(type, 2)),
      [true, false],
    );
    floors.looked([{ type: 'A', floor: 0, most: 1 }], [], 100);
    floors.fullLookEnded(floors.ask(['A'], 1, withFloors, 0), 2, 3);
    assert.ok(floors.isFullLookDue('A', 4));
  });

  it('give a type with a backlog what the others leave', () => {
    const floors = new Floors(LIMITS);
    const types = ['A', 'B', 'C'];
    const first = floors.ask(types, 9, withFloors, 0);
    assert.deepEqual(
      first.map(({ most }) => most),
      [3, 3, 3],
    );
    floors.looked(first, [row('B', 1), row('B', 2), row('B', 3)], 100);
    assert.deepEqual(
      floors.ask(types, 9, withFloors, 0).map(({ most }) => most),
      [1, 7, 1],
    );
  });

  it('never ask for more than there is room for, and ask every type in turn', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.nat(39), { maxLength: 10 }),
        (count, room, waiting) => {
          const floors = new Floors(LIMITS);
          const types = Array.from({ length: count }, (_, index) => `T${index}`);
          const asked = new Set<string>();
          for (let look = 0; look < Math.ceil(count / room); look += 1) {
            const shares = floors.ask(types, room, withFloors, 0);
            assert.ok(shares.reduce((sum, { most }) => sum + most, 0) <= room);
            for (const { type, most } of shares) {
              assert.ok(most >= 1);
              asked.add(type);
            }
            const found = shares.filter(({ type }) => waiting.includes(Number(type.slice(1))));
            const taken = found.flatMap(({ type, most }) => Array.from({ length: most }, () => row(type, 1)));
            floors.looked(shares, taken, 2);
          }
          assert.equal(asked.size, count);
        },
      ),
    );
  });
});
