/**
 * Durations in human-readable form.
 *
 * @module
 */
import { msToNumber } from '@temporalio/common/lib/time.js';

/** The units of a {@link Duration}. */
export type DurationUnit =
  | 'ms'
  | 'millisecond'
  | 'milliseconds'
  | 's'
  | 'sec'
  | 'second'
  | 'seconds'
  | 'm'
  | 'min'
  | 'minute'
  | 'minutes'
  | 'h'
  | 'hr'
  | 'hour'
  | 'hours'
  | 'd'
  | 'day'
  | 'days';

/** Milliseconds, or text such as `'250ms'`, `'10s'`, `'5 minutes'`. */
export type Duration = number | `${number}${DurationUnit}` | `${number} ${DurationUnit}`;

/** Converts a duration to whole milliseconds, or returns null if the value is not a duration. */
export function toMilliseconds(value: number | string): number | null {
  try {
    const ms = Math.round(msToNumber(value as Parameters<typeof msToNumber>[0]));
    return Number.isFinite(ms) ? ms : null;
  } catch {
    return null;
  }
}
