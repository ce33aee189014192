/**
 * A sleep that can be interrupted, for loops that wait for work.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { doublingDelayMs } from '../core/retry-policy.ts';

const PAUSE_STEP_MS = 100;
/** Short, because all work waits for it after an outage, and a retry costs only one statement and one call. */
const [FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS] = [200, 2_000];

export class Wakeup {
  #pending = false;
  #resolve: (() => void) | null = null;

  /** Ends the current wait, or the next one before it starts, so that no wake-up is lost in between. */
  wake(): void {
    this.#pending = true;
    this.#resolve?.();
  }

  /** Waits for {@link wake}, at most this long. */
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

  /**
   * Waits 200 ms to 2 s, longer after each failure. Ends early once `isOver` returns true. {@link wake} does not shorten
   * this wait, because notifications keep arriving while a server is unavailable.
   */
  backOff(failures: number, isOver: () => boolean): Promise<void> {
    return this.pause(doublingDelayMs(FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, failures + 1), isOver);
  }

  /** Waits this long even if {@link wake} is called. Ends early once `isOver` returns true. */
  async pause(durationMs: number, isOver: () => boolean): Promise<void> {
    const end = Date.now() + durationMs;
    while (!isOver() && Date.now() < end) await sleep(Math.min(PAUSE_STEP_MS, end - Date.now()));
  }
}
