/**
 * How many entries are Completed, without counting them. Pure.
 *
 * @module
 */
import type { EntryStatistics, StatusCount } from '../store/entry-counts.ts';

/** With fewer entries, counting all of them takes no longer than a person notices. */
const COUNTED_UP_TO = 200_000;

/** Null where there are no statistics, or so few entries that they are counted as quickly. */
export function estimateEntries(
  { total, types, shares }: EntryStatistics,
  unfinished: readonly StatusCount[],
): StatusCount[] | null {
  if (total === null || total <= COUNTED_UP_TO || types.length === 0) return null;
  const completed = types.map((commandType, index): StatusCount => {
    const others = unfinished.filter((row) => row.commandType === commandType);
    const count = total * shares[index]! - others.reduce((sum, row) => sum + row.count, 0);
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

/** More would look as if it were known. */
const threeDigits = (count: number) => Number(count.toPrecision(3));

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
