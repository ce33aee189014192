/**
 * Medians instead of means, so that one slow moment of the machine does not determine a system's result.
 *
 * @module
 */

/** Returns NaN if there are no values. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Uses linear interpolation. Ignores NaN, and returns NaN if there are no other values. */
export function quantile(values: readonly number[], at: number): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const position = (sorted.length - 1) * at;
  const below = Math.floor(position);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (position - below);
}
