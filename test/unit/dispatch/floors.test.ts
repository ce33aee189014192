import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Floors } from '../../../src/dispatch/floors.ts';
import { fc } from '../../support/random.ts';

const LIMITS = { minimumMs: 1_000, maximumMs: 10_000 };
const withFloors = () => false;
const withoutFloors = () => true;
const row = (commandType: string, at: number) => ({ commandType, at });

describe('floors', () => {
  it('do not exist at first, and rise to 0.6 s before a scan that found everything', () => {
    const floors = new Floors(LIMITS);
    const shares = floors.planScan(['A'], 10, withFloors, 0);
    assert.deepEqual(shares, [{ type: 'A', floor: -Infinity, most: 10 }]);
    floors.noteScan(shares, [row('A', 90)], 100);
    assert.equal(floors.planScan(['A'], 10, withFloors, 0)[0]!.floor, 99.4);
  });

  it('have a narrow margin after a scan that took rows, and the wide margin ten times a second', () => {
    const floors = new Floors(LIMITS);
    const floorAt = (nowMs: number, taken: number) => {
      const shares = floors.planScan(['A'], 10, withFloors, nowMs);
      floors.noteScan(
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
    const shares = floors.planScan(['A'], 2, withFloors, 0);
    floors.noteScan(shares, [row('A', 50), row('A', 40)], 100);
    assert.ok(floors.hasBacklog('A'));
    assert.equal(floors.planScan(['A'], 2, withFloors, 0)[0]!.floor, 49.4);
  });

  it('sink to a late row when a full scan may not have found all late rows', () => {
    const floors = new Floors(LIMITS);
    floors.noteScan(floors.planScan(['A'], 2, withFloors, 0), [], 100);
    floors.noteScan(floors.planScan(['A'], 2, withoutFloors, 0), [row('A', 10), row('A', 11)], 101);
    assert.equal(floors.planScan(['A'], 2, withFloors, 0)[0]!.floor, 10.4);
  });

  it('are ignored by a full scan, and removed by a reset', () => {
    const floors = new Floors(LIMITS);
    floors.noteScan(floors.planScan(['A'], 2, withFloors, 0), [], 100);
    const shares = floors.planScan(['A'], 2, withoutFloors, 0);
    assert.equal(shares[0]!.floor, -Infinity);
    floors.noteFullScans(shares, 0, 1);
    floors.reset();
    assert.equal(floors.planScan(['A'], 2, withFloors, 0)[0]!.floor, -Infinity);
    assert.ok(floors.isFullScanDue('A', 2));
  });

  it('limit full scans to 2 % of the time, or 10 % after a hint, within the configured intervals', () => {
    const floors = new Floors(LIMITS);
    const shares = [{ type: 'A', floor: -Infinity, most: 1 }];
    const isDue = (nowMs: number, hinted = false) => floors.isFullScanDue('A', nowMs, hinted);
    assert.ok(isDue(0));
    floors.noteFullScans(shares, 0, 100);
    assert.ok(!isDue(5_000) && isDue(5_100));
    assert.ok(!isDue(1_000, true) && isDue(1_100, true));
    floors.noteFullScans(shares, 0, 1);
    assert.ok(!isDue(1_000) && isDue(1_001));
    floors.noteFullScans(shares, 0, 60_000);
    assert.ok(!isDue(69_999) && isDue(70_000));
  });

  it('keep a full scan due until the type itself was scanned without a floor', () => {
    const floors = new Floors(LIMITS);
    const both = ['A', 'B'];
    const asked = floors.planScan(both, 10, withoutFloors, 0, (type) => (type === 'A' ? 0 : 5));
    floors.noteFullScans(asked, 0, 1);
    assert.deepEqual(
      both.map((type) => floors.isFullScanDue(type, 2)),
      [true, false],
    );
    floors.noteScan([{ type: 'A', floor: 0, most: 1 }], [], 100);
    floors.noteFullScans(floors.planScan(['A'], 1, withFloors, 0), 2, 3);
    assert.ok(floors.isFullScanDue('A', 4));
  });

  it('give a type with a backlog the rows that other types leave over', () => {
    const floors = new Floors(LIMITS);
    const types = ['A', 'B', 'C'];
    const first = floors.planScan(types, 9, withFloors, 0);
    assert.deepEqual(
      first.map(({ most }) => most),
      [3, 3, 3],
    );
    floors.noteScan(first, [row('B', 1), row('B', 2), row('B', 3)], 100);
    assert.deepEqual(
      floors.planScan(types, 9, withFloors, 0).map(({ most }) => most),
      [1, 7, 1],
    );
  });

  it('never plan more rows than the limit, and include every type in turn', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.nat(39), { maxLength: 10 }),
        (count, limit, waiting) => {
          const floors = new Floors(LIMITS);
          const types = Array.from({ length: count }, (_, index) => `T${index}`);
          const asked = new Set<string>();
          for (let scan = 0; scan < Math.ceil(count / limit); scan += 1) {
            const shares = floors.planScan(types, limit, withFloors, 0);
            assert.ok(shares.reduce((sum, { most }) => sum + most, 0) <= limit);
            for (const { type, most } of shares) {
              assert.ok(most >= 1);
              asked.add(type);
            }
            const found = shares.filter(({ type }) => waiting.includes(Number(type.slice(1))));
            const taken = found.flatMap(({ type, most }) => Array.from({ length: most }, () => row(type, 1)));
            floors.noteScan(shares, taken, 2);
          }
          assert.equal(asked.size, count);
        },
      ),
    );
  });
});
