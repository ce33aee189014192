/**
 * Named places where a test can make a worker die, fail or hang. Nothing but a test sets the hook; without one a point
 * is one comparison.
 *
 * @module
 */

export const CRASH_POINTS = [
  'before-claim',
  'after-claim',
  'row-locked',
  'before-commit',
  'after-commit',
  'before-failure-recorded',
  'after-failure-recorded',
  'before-replay-recorded',
  'after-replay-recorded',
  'before-hand-over',
  'after-hand-over',
  'before-record',
  'after-record',
  'relay-before-start',
  'relay-after-start',
  'alert-before-start',
  'alert-after-start',
  'alert-before-delivery',
  'alert-after-delivery',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

export type CrashHook = (point: CrashPoint, messageId: string) => Promise<void>;

let hook: CrashHook | null = null;

/** For tests; null takes it away. */
export function setCrashHook(wanted: CrashHook | null): void {
  hook = wanted;
}

/** Awaits the hook, where there is one. Null where there is none, so that the caller need not yield. */
export function crashPoint(point: CrashPoint, messageId: string): Promise<void> | null {
  return hook === null ? null : hook(point, messageId);
}
