import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { estimateEntries } from '../../../src/operations/estimate.ts';
import type { StatusCount } from '../../../src/store/entry-counts.ts';

const counted = (commandType: string, status: StatusCount['status'], count: number): StatusCount => ({
  commandType,
  status,
  count,
  oldest: new Date(0),
  estimated: false,
});

describe('the estimate of Completed entries', () => {
  it('is a type’s share of all, without those that are counted, in three digits', () => {
    const dead = counted('Pay', 'DeadLetter', 40_000);
    const pending = counted('Ship', 'Pending', 5);
    const entries = estimateEntries({ total: 1_000_000, types: ['Ship', 'Pay'], shares: [0.1234567, 0.8] }, [
      dead,
      pending,
    ]);
    assert.deepEqual(entries, [
      { commandType: 'Pay', status: 'Completed', count: 760_000, oldest: null, estimated: true },
      dead,
      { commandType: 'Ship', status: 'Completed', count: 123_000, oldest: null, estimated: true },
      pending,
    ]);
  });

  it('has no line for a type of which all are counted', () => {
    const dead = counted('Pay', 'DeadLetter', 900_000);
    assert.deepEqual(estimateEntries({ total: 800_000, types: ['Pay'], shares: [1] }, [dead]), [dead]);
  });

  for (const [why, statistics] of [
    ['nothing was analysed yet', { total: null, types: [], shares: [] }],
    ['no type is known', { total: 1_000_000, types: [], shares: [] }],
    ['counting is quick', { total: 200_000, types: ['Pay'], shares: [1] }],
  ] as const) {
    it(`is not made where ${why}`, () => {
      assert.equal(
        estimateEntries({ ...statistics, types: [...statistics.types], shares: [...statistics.shares] }, []),
        null,
      );
    });
  }
});
