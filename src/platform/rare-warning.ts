/**
 * A warning that could occur with every command. It is logged at most once a minute, with the number of occurrences.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';

const EVERY_MS = 60_000;

export class RateLimitedWarning {
  readonly #log: CommandLog;
  readonly #message: string;
  #nextAt = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(log: CommandLog, message: string) {
    this.#log = log;
    this.#message = message;
  }

  /** @param facts - describes this occurrence, as an example of all occurrences since the last warning */
  happened(facts: Record<string, unknown>): void {
    this.#count += 1;
    if (performance.now() < this.#nextAt) return;
    this.#nextAt = performance.now() + EVERY_MS;
    this.#log.warn(this.#message, { count: this.#count, ...facts });
    this.#count = 0;
  }
}
