/**
 * Sleep that can be ended, for loops that wait for work.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_STEP_MS = 100;

export class Wakeup {
  #pending = false;
  #resolve: (() => void) | null = null;

  /** Ends the wait under way, or the next one before it begins: no wake-up is lost in between. */
  wake(): void {
    this.#pending = true;
    this.#resolve?.();
  }

  /** Until {@link wake}, or for this long. */
  async wait(limitMs: number): Promise<void> {
    if (!this.#pending) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
        timer = setTimeout(resolve, limitMs);
      });
      clearTimeout(timer);
      this.#resolve = null;
    }
    this.#pending = false;
  }

  /** For this long whatever wakes, unless it is over. */
  async pause(durationMs: number, isOver: () => boolean): Promise<void> {
    const end = Date.now() + durationMs;
    while (!isOver() && Date.now() < end) await sleep(Math.min(PAUSE_STEP_MS, end - Date.now()));
  }
}
