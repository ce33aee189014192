/**
 * Sleep that can be ended, for loops that wait for work.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffDelayMs } from '../core/retry-policy.ts';

const PAUSE_STEP_MS = 100;
/** Short: after an outage everything waits for it, and a try costs one statement and one call. */
const BACKOFF = {
  maximumAttempts: Infinity,
  initialIntervalMs: 200,
  backoffCoefficient: 2,
  maximumIntervalMs: 2_000,
};

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

  /**
   * Longer with each failure so far, 200 ms to 2 s, unless it is over. Whatever wakes does not cut it short: a NOTIFY goes on
   * coming while a server is away.
   */
  backOff(failures: number, isOver: () => boolean): Promise<void> {
    return this.pause(backoffDelayMs(BACKOFF, failures + 1), isOver);
  }

  /** For this long whatever wakes, unless it is over. */
  async pause(durationMs: number, isOver: () => boolean): Promise<void> {
    const end = Date.now() + durationMs;
    while (!isOver() && Date.now() < end) await sleep(Math.min(PAUSE_STEP_MS, end - Date.now()));
  }
}
