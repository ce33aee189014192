/**
 * Gauges whose series come and go, such as one for each failure group with open dead letters.
 *
 * An SDK that collects cumulatively, which is the default, repeats the last value of a series that is no longer observed. So a
 * series that is gone is observed as 0 for a while, by every reader of the SDK, and forgotten afterwards.
 *
 * @module
 */
import type { Attributes, BatchObservableResult, ObservableGauge } from '@opentelemetry/api';

export interface Observation {
  gauge: ObservableGauge;
  value: number;
  attributes: Attributes;
}

/** Longer than the intervals of all readers. */
const FADES_AFTER_MS = 10 * 60_000;
/** The series that are gone are limited, too: failure groups may change all the time. */
export const MAX_GONE = 200;

export class GaugeSeries {
  /** Observed before, with the time of the last observation. The oldest come first. */
  readonly #known = new Map<string, { gauge: ObservableGauge; attributes: Attributes; at: number }>();
  readonly #names = new Map<ObservableGauge, number>();

  /** Observes these values, and 0 for all other series that were observed before. */
  observe(
    result: BatchObservableResult,
    observations: readonly Observation[],
    now = performance.now(),
  ): void {
    const current = new Set<string>();
    for (const { gauge, value, attributes } of observations) {
      const key = this.#keyOf(gauge, attributes);
      current.add(key);
      this.#known.delete(key);
      this.#known.set(key, { gauge, attributes, at: now });
      result.observe(gauge, value, attributes);
    }
    const gone = [...this.#known].filter(([key]) => !current.has(key));
    const tooMany = gone.length - MAX_GONE;
    for (const [place, [key, { gauge, attributes, at }]] of gone.entries()) {
      if (place < tooMany || now - at > FADES_AFTER_MS) this.#known.delete(key);
      else result.observe(gauge, 0, attributes);
    }
  }

  #keyOf(gauge: ObservableGauge, attributes: Attributes): string {
    const name = this.#names.get(gauge) ?? this.#names.size;
    this.#names.set(gauge, name);
    return JSON.stringify([name, attributes]);
  }
}
