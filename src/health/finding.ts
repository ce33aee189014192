/**
 * One thing that was looked at, and how it was found.
 *
 * @module
 */
import { messageOf } from '../platform/error-message.ts';

export interface Finding {
  name: string;
  ok: boolean;
  /** What was found, in a few words. */
  finding: string;
  /** Null where all is well. */
  remedy: string | null;
}

export type Verdict = Omit<Finding, 'name'>;

export const healthy = (finding: string): Verdict => ({ ok: true, finding, remedy: null });
export const unhealthy = (finding: string, remedy: string): Verdict => ({ ok: false, finding, remedy });

/** Never throws: what goes wrong in a check is its finding, and `remedy` is for that case. */
export async function check(
  name: string,
  timeoutMs: number,
  remedy: string,
  look: () => Promise<Verdict> | Verdict,
): Promise<Finding> {
  try {
    return { name, ...(await within(timeoutMs, look)) };
  } catch (error) {
    return { name, ...unhealthy(messageOf(error), remedy) };
  }
}

/** A server that accepts a connection and says nothing must not keep the other findings back. */
async function within<T>(timeoutMs: number, look: () => Promise<T> | T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([look(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** In one unit, cut: `34 s`, `5 min`, `3 h`, `12 days`. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
