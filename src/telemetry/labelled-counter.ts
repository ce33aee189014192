/**
 * A counter that keeps its own sums, and reports them when an SDK asks. To count one command costs a fraction of what the
 * SDK's counters do, which hash the labels each time, for each reader.
 *
 * @module
 */
import type { ObservableCounter } from '@opentelemetry/api';

export type Labels = Record<string, string>;

/** The sum for one set of labels. */
export interface Sum {
  readonly labels: Labels;
  value: number;
}

export class LabelledCounter {
  readonly #sums = new Map<string, Sum>();

  constructor(counter: ObservableCounter) {
    counter.addCallback((result) => {
      for (const { value, labels } of this.#sums.values()) result.observe(value, labels);
    });
  }

  /**
   * Returns the sum for these labels, to be kept and increased by code that runs for each command.
   *
   * @param labels - always with the same names in the same order, and with few different values
   */
  sumOf(labels: Labels): Sum {
    const key = Object.entries(labels).flat().join('\0');
    const known = this.#sums.get(key);
    if (known) return known;
    const sum = { labels, value: 0 };
    this.#sums.set(key, sum);
    return sum;
  }

  add(count: number, labels: Labels): void {
    this.sumOf(labels).value += count;
  }
}
