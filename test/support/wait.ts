/**
 * Tests wait for what they want to see, never for a time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

const SHORTEST_POLL_MS = 10;
const LONGEST_POLL_MS = 300;
/** The next look comes after this part of the time that was waited so far: many waits at once must not keep the cores busy. */
const POLL_SHARE = 0.1;
/** Far beyond what any condition takes on a slow machine: retryWhenDatabaseUnavailable it is a failure, never noise. */
const LIMIT_MS = 90_000;

/** How long one source of diagnostics may take. */
const DIAGNOSIS_MS = 10_000;

const sources = new Set<() => Promise<string>>();

/** Registers what to print when a wait fails. Returns how to take it back. */
export function addDiagnostics(source: () => Promise<string>): () => void {
  sources.add(source);
  return () => void sources.delete(source);
}

/**
 * Polls until the probe gives a value that is neither undefined, null nor false, and returns it. When the time is over, the
 * error says what every registered source of diagnostics has to say.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T> | T,
  limitMs = LIMIT_MS,
): Promise<Exclude<T, null | undefined | false>> {
  const start = Date.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, null | undefined | false>;
      }
      last = value;
    } catch (error) {
      last = error;
    }
    const waitedMs = Date.now() - start;
    if (waitedMs > limitMs) {
      throw new Error([`waited ${limitMs} ms in vain: ${what}`, ...(await diagnose())].join('\n'), {
        cause: last,
      });
    }
    await sleep(Math.min(Math.max(waitedMs * POLL_SHARE, SHORTEST_POLL_MS), LONGEST_POLL_MS));
  }
}

/** A source that fails or hangs must not hide the failure of the wait. */
function diagnose(): Promise<string[]> {
  return Promise.all(
    [...sources].map(async (source) => {
      const limit = new AbortController();
      const late = sleep(DIAGNOSIS_MS, 'diagnostics: no answer', { signal: limit.signal, ref: false });
      try {
        return await Promise.race([source(), late]);
      } catch (error) {
        return `diagnostics: ${String(error)}`;
      } finally {
        limit.abort();
        late.catch(() => {});
      }
    }),
  );
}

export interface Gate {
  opened: Promise<void>;
  open: () => void;
}

/** Longer than a wait of `eventually`, whose diagnostics say more. */
const GATE_LIMIT_MS = 2 * LIMIT_MS;

/**
 * A promise that resolves when somebody opens it: for a handler that waits for its test, and the other way round. Where nobody
 * does, it is rejected with the diagnostics that `eventually` gives.
 */
export function gate(): Gate {
  const made = {} as Gate;
  made.opened = new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      void diagnose().then((found) =>
        reject(new Error([`a gate was not opened within ${GATE_LIMIT_MS} ms`, ...found].join('\n'))),
      );
    }, GATE_LIMIT_MS).unref();
    made.open = () => {
      clearTimeout(limit);
      resolve();
    };
  });
  // Where nobody waits for it any more, that is no error.
  made.opened.catch(() => {});
  return made;
}
