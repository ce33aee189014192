/**
 * Closes what a test inbox has opened.
 *
 * @module
 */
import { withTimeout } from '../platform/deadline.ts';

/** How long each part may take to close, in ms. Then the next part is closed. */
const LIMIT_MS = 15_000;

export class Closers {
  readonly #parts: { what: string; close: () => Promise<unknown> }[] = [];
  #closing: Promise<void> | undefined;

  /** Adds something to close. The last one is closed first. */
  add(what: string, close: () => Promise<unknown>): void {
    this.#parts.push({ what, close });
  }

  /**
   * Closes everything, even if a part fails or hangs. Further calls have no effect.
   *
   * @throws the first error
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#closeAll());
  }

  async #closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const { what, close } of this.#parts.toReversed()) {
      const tooLong = () => {
        throw new Error(`closing ${what} took longer than ${LIMIT_MS / 1000} s`);
      };
      await withTimeout(LIMIT_MS, close, tooLong).catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}
