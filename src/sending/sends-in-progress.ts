/**
 * The sends of one inbox that are in progress, and how the inbox closes: waits end at once, sends may finish, new sends are
 * refused.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { InboxClosedError } from '../core/errors.ts';

export class SendsInProgress {
  readonly #sends = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();

  constructor() {
    // Each wait adds a listener. There may be many, which is not a leak.
    setMaxListeners(0, this.#closed.signal);
  }

  /** Aborted when the inbox is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** @throws InboxClosedError after {@link close} */
  checkOpen(): void {
    if (this.#closed.signal.aborted) throw new InboxClosedError();
  }

  /**
   * Runs a send. {@link close} waits for it.
   *
   * @throws InboxClosedError after {@link close}
   */
  async run<T>(send: () => Promise<T>): Promise<T> {
    this.checkOpen();
    const sending = send();
    this.#sends.add(sending);
    try {
      return await sending;
    } finally {
      this.#sends.delete(sending);
    }
  }

  /** Ends the waits, and waits until all sends have succeeded or failed. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled(this.#sends);
  }
}
