/**
 * Durations as people write them.
 *
 * @module
 */
import { msToNumber } from '@temporalio/common/lib/time.js';

/** Milliseconds, or text such as `'250ms'`, `'10s'`, `'5 minutes'` (the `ms` package's format). */
export type Duration = number | string;

/** Whole milliseconds, or null when it is no duration. */
export function toMilliseconds(value: Duration): number | null {
  try {
    const ms = Math.round(msToNumber(value as Parameters<typeof msToNumber>[0]));
    return Number.isFinite(ms) ? ms : null;
  } catch {
    return null;
  }
}
