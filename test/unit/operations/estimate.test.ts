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

describe('estimateEntries', () => {
  it('estimates the Completed entries of each type to three digits, from its share minus the counted entries', () => {
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

  it('omits a type whose entries are all counted', () => {
    const dead = counted('Pay', 'DeadLetter', 900_000);
    assert.deepEqual(estimateEntries({ total: 800_000, types: ['Pay'], shares: [1] }, [dead]), [dead]);
  });

  for (const [why, statistics] of [
    ['the table was never analyzed', { total: null, types: [], shares: [] }],
    ['the statistics have no types', { total: 1_000_000, types: [], shares: [] }],
    ['there are few enough entries to count', { total: 200_000, types: ['Pay'], shares: [1] }],
  ] as const) {
    it(`returns null when ${why}`, () => {
      assert.equal(
        estimateEntries({ ...statistics, types: [...statistics.types], shares: [...statistics.shares] }, []),
        null,
      );
    });
  }
});
