/**
 * Tests wait for a condition, never for a fixed time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

const SHORTEST_POLL_MS = 10;
const LONGEST_POLL_MS = 300;
/**
 * The pause before the next poll, as a share of the time waited so far: many concurrent waits must not keep the cores busy.
 */
const POLL_SHARE = 0.1;
/** Far longer than any condition takes on a slow machine: a wait that reaches the limit is a real failure. */
const LIMIT_MS = 90_000;

/** How long one source of diagnostics may take. */
const DIAGNOSIS_MS = 10_000;

const sources = new Set<() => Promise<string>>();

/** Registers a source of text to print when a wait fails. Returns a function that removes the source. */
export function addDiagnostics(source: () => Promise<string>): () => void {
  sources.add(source);
  return () => void sources.delete(source);
}

/**
 * Polls until the probe returns a value other than undefined, null and false, and returns that value. A probe that throws is
 * called again. When the time is over, throws an error with the text of every registered source of diagnostics.
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
      throw new Error(
        [`timed out after ${limitMs} ms waiting for: ${what}`, ...(await diagnose())].join('\n'),
        {
          cause: last,
        },
      );
    }
    await sleep(Math.min(Math.max(waitedMs * POLL_SHARE, SHORTEST_POLL_MS), LONGEST_POLL_MS));
  }
}

/** A source that fails or hangs must not hide the failure of the wait. */
function diagnose(): Promise<string[]> {
  return Promise.all(
    [...sources].map(async (source) => {
      const limit = new AbortController();
      const timeout = sleep(DIAGNOSIS_MS, 'diagnostics: timed out', { signal: limit.signal, ref: false });
      try {
        return await Promise.race([source(), timeout]);
      } catch (error) {
        return `diagnostics: ${String(error)}`;
      } finally {
        limit.abort();
        timeout.catch(() => {});
      }
    }),
  );
}

export interface Gate {
  opened: Promise<void>;
  open: () => void;
}

/** Longer than the limit of `eventually`, whose error says more. */
const GATE_LIMIT_MS = 2 * LIMIT_MS;

/**
 * A promise that resolves when `open` is called. With it a handler waits for its test, or a test for its handler. If nobody
 * calls `open` in time, it rejects with the same diagnostics as `eventually`.
 */
export function gate(): Gate {
  const created = {} as Gate;
  created.opened = new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      void diagnose().then((found) =>
        reject(new Error([`a gate was not opened within ${GATE_LIMIT_MS} ms`, ...found].join('\n'))),
      );
    }, GATE_LIMIT_MS).unref();
    created.open = () => {
      clearTimeout(limit);
      resolve();
    };
  });
  // If nobody waits for the gate any more, its rejection is not an error.
  created.opened.catch(() => {});
  return created;
}
