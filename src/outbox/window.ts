/**
 * Which positions of the outbox the relay still has to look at. An event that was published leaves a dead index entry behind,
 * and while a session holds a snapshot open, no vacuum removes it: a scan that always started at the oldest end would walk over
 * everything that was ever published. So the relay reads above a floor, and remembers which positions below it are missing.
 *
 * A position is missing because its transaction has not committed yet, or never will. Looking at the missing ones each time
 * keeps the order: an event that commits late is visible before any later event of its aggregate is. They are forgotten when
 * every transaction that could still fill them has ended.
 *
 * @module
 */
import type { PositionRange } from '../store/outbox.ts';

/** More ranges are merged into one, which costs less than looking at each. */
const MOST_RANGES = 1_000;

export class OutboxWindow {
  #floor: number;
  /** Positions below the floor that were not there. */
  #gaps: PositionRange[] = [];
  /** Positions below the floor whose event is there and not yet published. */
  readonly #open = new Set<number>();
  /** Gaps, by their upper ends, and the transactions that could fill them. `ended`: all of these have ended. */
  #closing: { gaps: Set<number>; writers: Set<string>; ended: boolean } | null = null;

  /** @param floor - no event is left up to here */
  constructor(floor = -1) {
    this.#floor = floor;
  }

  /** No event is left up to here, and none will come. */
  get settled(): number {
    return this.ranges.reduce((least, { low }) => Math.min(least, low - 1), this.#floor);
  }

  get floor(): number {
    return this.#floor;
  }

  /** Where to look below the floor. */
  get ranges(): PositionRange[] {
    const points = [...this.#open].map((position) => ({ low: position, high: position }));
    return [...this.#gaps, ...points];
  }

  get hasGaps(): boolean {
    return this.#gaps.length > 0;
  }

  /**
   * Notes what was read, and what became of it.
   *
   * @param positions - of all events that a look found, ascending
   * @param unresolved - those of them that are neither published nor parked
   */
  advance(positions: readonly number[], unresolved: ReadonlySet<number>): void {
    // Whatever is below the floor comes first, so this look has seen all of it.
    const sawAllBelow = positions.length === 0 || positions.at(-1)! > this.#floor;
    let reached = this.#floor;
    let stopped = false;
    for (const position of positions) {
      if (position <= this.#floor) {
        this.#fill(position);
        if (unresolved.has(position)) this.#open.add(position);
        else this.#open.delete(position);
      } else if (!stopped) {
        stopped = unresolved.has(position);
        if (position > reached + 1) this.#gaps.push({ low: reached + 1, high: position - 1 });
        reached = stopped ? position - 1 : position;
      }
    }
    this.#floor = reached;
    if (sawAllBelow) this.#forgetEnded();
    this.#limitGaps();
  }

  /** Events below the floor that are to be published again. */
  reopen(positions: readonly number[]): void {
    for (const position of positions) if (position <= this.#floor) this.#open.add(position);
  }

  /** A look without a floor found only these, all there are: what else was open is gone. */
  sawAll(positions: readonly number[]): void {
    const seen = new Set(positions);
    for (const position of this.#open) if (!seen.has(position)) this.#open.delete(position);
  }

  /**
   * Finds gaps that nobody can fill any more. The next look still looks at them, because their transactions may have committed
   * just now; then they are forgotten. To be called about once a second, before a look.
   *
   * @param writers - the transactions that may still commit events
   */
  closeGaps(writers: readonly string[]): void {
    const current = new Set(writers);
    if (this.#closing) {
      this.#closing.ended ||= ![...this.#closing.writers].some((writer) => current.has(writer));
    } else if (this.#gaps.length > 0) {
      this.#closing = {
        gaps: new Set(this.#gaps.map(({ high }) => high)),
        writers: current,
        ended: current.size === 0,
      };
    }
  }

  #forgetEnded(): void {
    if (!this.#closing?.ended) return;
    const { gaps } = this.#closing;
    this.#gaps = this.#gaps.filter(({ high }) => !gaps.has(high));
    this.#closing = null;
  }

  /** The upper end of a range stays what it was seen as, so that {@link closeGaps} knows both parts. */
  #fill(position: number): void {
    const index = this.#gaps.findIndex(({ low, high }) => low <= position && position <= high);
    if (index === -1) return;
    const { low, high } = this.#gaps[index]!;
    const parts = [
      { low, high: position - 1 },
      { low: position + 1, high },
    ].filter((part) => part.low <= part.high);
    if (this.#closing?.gaps.has(high)) for (const part of parts) this.#closing.gaps.add(part.high);
    this.#gaps.splice(index, 1, ...parts);
  }

  #limitGaps(): void {
    if (this.#gaps.length <= MOST_RANGES) return;
    const low = Math.min(...this.#gaps.map((gap) => gap.low));
    const high = Math.max(...this.#gaps.map((gap) => gap.high));
    this.#gaps = [{ low, high }];
    this.#closing = null;
  }
}

/** The longest time between two looks without a floor. */
const MOST_PAUSE_MS = 300_000;

/** Says when a look that may be expensive is due, for the first time at once: it may take about 2 % of the time. */
export class LookBudget {
  #dueAt = Number.NEGATIVE_INFINITY;

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueAt;
  }

  ended(beganMs: number, nowMs: number): void {
    this.#dueAt = nowMs + Math.min(Math.max(50 * (nowMs - beganMs), 1_000), MOST_PAUSE_MS);
  }
}
