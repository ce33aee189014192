/**
 * Tests wait for what they want to see, never for a time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;
/** Far beyond what any condition takes on a slow machine: reaching it is a failure, never noise. */
const LIMIT_MS = 90_000;

/** Polls until the probe gives a value that is neither undefined, null nor false, and returns it. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T> | T,
  limitMs = LIMIT_MS,
): Promise<Exclude<T, null | undefined | false>> {
  const deadline = Date.now() + limitMs;
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
    if (Date.now() > deadline) {
      throw new Error(`waited ${limitMs} ms in vain: ${what}`, { cause: last });
    }
    await sleep(POLL_MS);
  }
}

export interface Gate {
  opened: Promise<void>;
  open: () => void;
}

/** A promise that is kept when somebody opens it: for a handler that waits for its test, and the other way round. */
export function gate(): Gate {
  const made = {} as Gate;
  made.opened = new Promise((resolve) => {
    made.open = resolve;
  });
  return made;
}
