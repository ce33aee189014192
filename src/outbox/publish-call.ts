/**
 * One call to the publisher, with a time limit.
 *
 * @module
 */
import type { Call, CallResult } from './delivery.ts';
import { PublishError } from '../core/errors.ts';
import type { Publish } from '../core/published-event.ts';
import { tracedPublish } from '../telemetry/traced-publish.ts';

/**
 * Wraps a publisher so that each call ends at the time limit, or when a signal is aborted. If the publisher ignores its
 * signal, the call ends anyway, and the publisher's promise is abandoned.
 *
 * @param signals - signals that live as long as the relay
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
    // Not AbortSignal.any: in Node 20, a long-lived signal would keep every call in memory.
    const watched = signals().map((signal) => {
      const abort = () => limit.abort(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      return { signal, abort };
    });
    try {
      await tracedPublish(events, () => unlessAborted(limit.signal, () => publish(events, limit.signal)));
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
