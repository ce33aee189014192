/**
 * Durations in human-readable form.
 *
 * @module
 */
import { msToNumber } from '@temporalio/common/lib/time.js';

/** Milliseconds, or text such as `'250ms'`, `'10s'`, `'5 minutes'` (the format of the `ms` package). */
export type Duration = number | string;

/** Converts a duration to whole milliseconds, or returns null if the value is not a duration. */
export function toMilliseconds(value: Duration): number | null {
  try {
    const ms = Math.round(msToNumber(value as Parameters<typeof msToNumber>[0]));
    return Number.isFinite(ms) ? ms : null;
  } catch {
    return null;
  }
}
