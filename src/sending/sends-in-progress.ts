/**
 * The calls of one inbox that are under way, and its end: waits end at once, sends may finish, new ones are refused.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { InboxClosedError } from '../core/errors.ts';

export class SendsUnderWay {
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();

  constructor() {
    // One listener for each wait: many, and no leak.
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

  /** Runs a send, which {@link close} waits for. @throws InboxClosedError after it */
  async run<T>(send: () => Promise<T>): Promise<T> {
    this.checkOpen();
    const sending = send();
    this.#underWay.add(sending);
    try {
      return await sending;
    } finally {
      this.#underWay.delete(sending);
    }
  }

  /** Ends the waits, and waits for the sends, whatever becomes of them. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled(this.#underWay);
  }
}
