import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { FullScanBudget, OutboxWindow } from '../../../src/outbox/window.ts';

const NONE = new Set<number>();

describe('the window of positions that the outbox relay scans', () => {
  let window: OutboxWindow;

  beforeEach(() => {
    window = new OutboxWindow();
  });

  it('starts with all positions and raises its floor to the last one read', () => {
    assert.deepEqual([window.floor, window.ranges], [-1, []]);
    window.advance([0, 1, 2], NONE);
    assert.deepEqual([window.floor, window.ranges], [2, []]);
  });

  it('reports the position up to which no event is left', () => {
    window = new OutboxWindow(100);
    assert.deepEqual([window.floor, window.settled], [100, 100]);
    window.advance([101, 104], NONE);
    assert.deepEqual([window.floor, window.settled], [104, 101]);
    window.advance([102, 103, 105, 106], new Set([105]));
    assert.deepEqual([window.floor, window.settled], [104, 104]);
    window.advance([105, 106], NONE);
    window.reopen([103]);
    assert.deepEqual([window.floor, window.settled], [106, 102]);
  });

  it('remembers missing positions below the floor until they are found', () => {
    window.advance([2, 5], NONE);
    assert.deepEqual(window.ranges, [
      { low: 0, high: 1 },
      { low: 3, high: 4 },
    ]);
    window.advance([3, 6], NONE);
    assert.deepEqual(window.ranges, [
      { low: 0, high: 1 },
      { low: 4, high: 4 },
    ]);
    window.advance([0, 1, 4], NONE);
    assert.deepEqual([window.floor, window.ranges], [6, []]);
  });

  it('keeps its floor below an unresolved event', () => {
    window.advance([0, 1, 3, 4], new Set([3]));
    assert.deepEqual([window.floor, window.ranges], [2, [{ low: 2, high: 2 }]]);
    window.advance([3, 4], NONE);
    assert.deepEqual([window.floor, window.ranges], [4, [{ low: 2, high: 2 }]]);
  });

  it('includes unresolved events below the floor in the next scan', () => {
    window.advance([0, 2], NONE);
    window.advance([1], new Set([1]));
    assert.deepEqual(window.ranges, [{ low: 1, high: 1 }]);
    window.closeGaps([]);
    window.advance([], NONE);
    window.closeGaps([]);
    assert.deepEqual(window.ranges, [{ low: 1, high: 1 }], 'not a gap: the event is visible');
    window.advance([1], NONE);
    assert.deepEqual(window.ranges, []);
  });

  it('forgets a gap when every transaction that could fill it has ended and one more scan was made', () => {
    window.advance([0, 2], NONE);
    window.closeGaps(['1/1', '2/1']);
    window.advance([], NONE);
    window.closeGaps(['2/1', '3/1']);
    window.advance([3], NONE);
    assert.equal(window.ranges.length, 1, '2/1 may still fill it');
    window.closeGaps(['3/1']);
    assert.equal(window.ranges.length, 1, '2/1 may have filled it since the last scan');
    window.advance([], NONE);
    assert.equal(window.ranges.length, 0);
  });

  it('keeps gaps that appeared after it recorded the transactions to wait for', () => {
    window.advance([0, 2], NONE);
    window.closeGaps(['1/1']);
    window.advance([4], NONE);
    window.closeGaps([]);
    window.advance([], NONE);
    assert.deepEqual(window.ranges, [{ low: 3, high: 3 }]);
  });

  it('keeps a gap if the scan did not reach the floor', () => {
    window.advance([0, 2, 4, 6], NONE);
    window.closeGaps([]);
    window.advance([1], NONE);
    assert.deepEqual(
      window.ranges.map(({ low }) => low),
      [3, 5],
    );
    window.advance([7], NONE);
    assert.deepEqual(window.ranges, []);
  });

  it('forgets both parts of a gap that was split', () => {
    window.advance([0, 9], NONE);
    window.closeGaps(['1/1']);
    window.advance([4], NONE);
    assert.equal(window.ranges.length, 2);
    window.closeGaps([]);
    window.advance([], NONE);
    assert.deepEqual(window.ranges, []);
  });

  it('includes the events of a merged lane', () => {
    window.advance([0, 1, 2, 3], NONE);
    window.reopen([1, 2, 7]);
    assert.deepEqual(
      window.ranges.map(({ low }) => low),
      [1, 2],
      '7 is above the floor',
    );
    window.noteFullScan([2]);
    assert.deepEqual(
      window.ranges.map(({ low }) => low),
      [2],
    );
  });

  it('merges too many gaps into one range', () => {
    window.advance(
      Array.from({ length: 1_500 }, (_, index) => index * 2),
      NONE,
    );
    assert.deepEqual(window.ranges, [{ low: 1, high: 2_997 }]);
  });

  it('finds every event, in any order of commits', () => {
    let state = 20_261_125;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return state % below;
    };
    for (let run = 0; run < 200; run += 1) {
      const seen = new OutboxWindow();
      const open = new Map<number, string>();
      const visible = new Set<number>();
      const published: number[] = [];
      let next = 0;
      let committed = 0;
      for (let step = 0; step < 300; step += 1) {
        const writers = () => [...open.values()];
        if (random(3) > 0 && open.size < 5) open.set((next += 1), `${run}/${next}`);
        else if (open.size > 0) {
          const position = [...open.keys()][random(open.size)]!;
          open.delete(position);
          if (random(4) > 0) {
            visible.add(position);
            committed += 1;
          }
        }
        if (random(4) === 0) seen.closeGaps(writers());
        if (random(2) === 0) {
          const { floor, ranges } = seen;
          const found = [...visible]
            .filter((p) => p > floor || ranges.some(({ low, high }) => low <= p && p <= high))
            .toSorted((a, b) => a - b)
            .slice(0, 4);
          const unresolved = new Set(found.filter(() => random(5) === 0));
          for (const p of found) if (!unresolved.has(p) && visible.delete(p)) published.push(p);
          seen.advance(found, unresolved);
        }
      }
      const { floor, ranges } = seen;
      for (const p of visible) {
        const isFound = p > floor || ranges.some(({ low, high }) => low <= p && p <= high);
        assert.ok(isFound, `run ${run}: ${p} would never be found`);
      }
      assert.equal(published.length + visible.size, committed);
    }
  });
});

describe('the budget of full scans', () => {
  it('spends 2 % of the time, with 1 second to 5 minutes between scans', () => {
    const budget = new FullScanBudget();
    assert.ok(budget.isDue(0));
    budget.ended(0, 1);
    assert.deepEqual([budget.isDue(1_000), budget.isDue(1_001)], [false, true]);
    budget.ended(1_000, 1_100);
    assert.deepEqual([budget.isDue(6_099), budget.isDue(6_100)], [false, true]);
    budget.ended(0, 10_000);
    assert.deepEqual([budget.isDue(309_999), budget.isDue(310_000)], [false, true]);
  });
});
