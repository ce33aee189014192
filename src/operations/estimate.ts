/**
 * Estimates the number of Completed entries from Postgres's statistics, without I/O.
 *
 * @module
 */
import type { EntryStatistics, StatusCount } from '../store/entry-counts.ts';

/** Up to this many entries, counting all of them is fast enough that nobody notices. */
const COUNTED_UP_TO = 200_000;

/** Null when there are no statistics, or so few entries that counting them is fast. */
export function estimateEntries(
  { total, types, shares }: EntryStatistics,
  unfinished: readonly StatusCount[],
): StatusCount[] | null {
  if (total === null || total <= COUNTED_UP_TO || types.length === 0) return null;
  const completed = types.map((commandType, index): StatusCount => {
    const ofThisType = unfinished.filter((row) => row.commandType === commandType);
    const count = total * shares[index]! - ofThisType.reduce((sum, row) => sum + row.count, 0);
    return {
      commandType,
      status: 'Completed',
      count: threeDigits(Math.max(0, count)),
      oldest: null,
      estimated: true,
    };
  });
  return [...unfinished, ...completed.filter(({ count }) => count > 0)].toSorted(
    (a, b) => compare(a.commandType, b.commandType) || compare(a.status, b.status),
  );
}

/** More digits would suggest that the number is exact. */
const threeDigits = (count: number) => Number(count.toPrecision(3));

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
