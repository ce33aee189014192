/**
 * Named points at which a test can make a worker crash, fail or hang. Only tests set the hook. Without a hook, a point costs
 * one comparison.
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

/** For tests. Pass null to remove the hook. */
export function setCrashHook(wanted: CrashHook | null): void {
  hook = wanted;
}

/** Calls the hook, if there is one. Returns null otherwise, so that the caller need not yield. */
export function crashPoint(point: CrashPoint, messageId: string): Promise<void> | null {
  return hook === null ? null : hook(point, messageId);
}
