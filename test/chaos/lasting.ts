/**
 * Faults that continue in the background while other faults follow. They end on their own or with the storm.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';

export class BackgroundFaults {
  #storm = newStorm();
  readonly #running = new Set<Promise<void>>();

  /** `work` ends early when the signal is aborted. Errors are ignored: another fault may have killed a server it needs. */
  start(work: (signal: AbortSignal) => Promise<void>): void {
    const fault: Promise<void> = work(this.#storm.signal)
      .catch(() => {})
      .finally(() => this.#running.delete(fault));
    this.#running.add(fault);
  }

  /** Ends all background faults and waits until they have ended. */
  async end(): Promise<void> {
    this.#storm.abort();
    await Promise.all(this.#running);
    this.#storm = newStorm();
  }
}

/** Any number of faults may listen to the signal. */
function newStorm(): AbortController {
  const storm = new AbortController();
  setMaxListeners(0, storm.signal);
  return storm;
}
