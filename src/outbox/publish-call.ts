/**
 * One call of the publisher, with a time limit.
 *
 * @module
 */
import type { Call, CallResult } from './delivery.ts';
import { PublishError } from '../core/errors.ts';
import type { Publish } from '../core/published-event.ts';

/**
 * Calls that end when the time is over, or when a signal is aborted; a publisher that ignores its signal is left behind.
 *
 * @param signals - they live as long as the relay
 */
export function limitedCall(
  publish: Publish,
  timeoutMs: number,
  signals: () => readonly AbortSignal[],
): Call {
  return async (events) => {
    const limit = new AbortController();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      limit.abort(new PublishError(`the publisher took longer than ${timeoutMs} ms`));
    }, timeoutMs);
    // Not AbortSignal.any: in Node 20 each call would stay in the memory of a signal that lives as long as these.
    const watched = signals().map((signal) => {
      const abort = () => limit.abort(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      return { signal, abort };
    });
    try {
      await unlessAborted(limit.signal, () => publish(events, limit.signal));
      return { ok: true };
    } catch (error) {
      return { ok: false, error, timedOut } satisfies CallResult;
    } finally {
      clearTimeout(timer);
      for (const { signal, abort } of watched) signal.removeEventListener('abort', abort);
    }
  };
}

async function unlessAborted(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  await Promise.race([(async () => work())(), aborted]);
}
