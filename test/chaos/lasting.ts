/**
 * Harm that goes on beside the faults that follow, until it ends by itself or the storm does.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export class Lasting {
  #storm = newStorm();
  readonly #under = new Set<Promise<void>>();

  /** `work` ends early when the signal is aborted. What it throws counts as its end: its server may have been killed. */
  begin(work: (signal: AbortSignal) => Promise<void>): void {
    const running: Promise<void> = work(this.#storm.signal)
      .catch(() => {})
      .finally(() => this.#under.delete(running));
    this.#under.add(running);
  }

  /** Ends all of it, and waits until it has ended. */
  async end(): Promise<void> {
    this.#storm.abort();
    await Promise.all(this.#under);
    this.#storm = newStorm();
  }
}

/** Any number may wait for its end. */
function newStorm(): AbortController {
  const storm = new AbortController();
  setMaxListeners(0, storm.signal);
  return storm;
}

/** Waits, or until the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
