/**
 * The result of one health check.
 *
 * @module
 */
import { withTimeout } from '../platform/deadline.ts';
import { messageOf } from '../platform/error-message.ts';

export interface Finding {
  name: string;
  ok: boolean;
  /** What was found, in a few words. */
  finding: string;
  /** What to do about it. Null if `ok`. */
  remedy: string | null;
}

export type Verdict = Omit<Finding, 'name'>;

export const healthy = (finding: string): Verdict => ({ ok: true, finding, remedy: null });
export const unhealthy = (finding: string, remedy: string): Verdict => ({ ok: false, finding, remedy });

/** Runs a check. Never throws: an error becomes the finding, with `remedy`. */
export async function check(
  name: string,
  timeoutMs: number,
  remedy: string,
  run: () => Promise<Verdict> | Verdict,
): Promise<Finding> {
  try {
    // A server that accepts a connection but never answers must not delay the other findings.
    const verdict = await withTimeout(timeoutMs, run, () => {
      throw new Error(`no answer within ${timeoutMs / 1_000} s`);
    });
    return { name, ...verdict };
  } catch (error) {
    return { name, ...unhealthy(messageOf(error), remedy) };
  }
}

/** Formats a duration in one unit, rounded down: `34 s`, `5 min`, `3 h`, `12 days`. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
