/**
 * Faults that last while others follow. They end by themselves or with the storm.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';

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

/** Any number of faults may listen for its end. */
function newStorm(): AbortController {
  const storm = new AbortController();
  setMaxListeners(0, storm.signal);
  return storm;
}
