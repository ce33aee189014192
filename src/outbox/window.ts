/**
 * Tracks which positions of the outbox the relay still has to scan. Publishing an event leaves a dead index entry, and
 * vacuum cannot remove it while a session holds a snapshot open. A scan that always started at the oldest position would
 * walk over everything published since. So the relay reads above a floor and remembers which positions below the floor are
 * missing (gaps).
 *
 * A position is missing because its transaction has not committed yet or never will. Every scan includes the gaps, which
 * keeps the order: an event that commits late becomes visible before any later event of its aggregate. A gap is forgotten
 * when every transaction that could still fill it has ended.
 *
 * @module
 */
import type { PositionRange } from '../store/outbox.ts';

/** If there are more gaps than this, they are merged into one range, which costs less than scanning each of them. */
const MAX_RANGES = 1_000;

export class OutboxWindow {
  #floor: number;
  /** Missing positions below the floor. */
  #gaps: PositionRange[] = [];
  /** Positions below the floor whose event is visible but not yet published. */
  readonly #open = new Set<number>();
  /** Gaps, by their upper ends, and the transactions that could fill them. `ended`: all these transactions have ended. */
  #closing: { gaps: Set<number>; writers: Set<string>; ended: boolean } | null = null;

  /** @param floor - the position up to which no event is left to publish */
  constructor(floor = -1) {
    this.#floor = floor;
  }

  /** The position up to which no event is left to publish and none can still commit. */
  get settled(): number {
    return this.ranges.reduce((least, { low }) => Math.min(least, low - 1), this.#floor);
  }

  get floor(): number {
    return this.#floor;
  }

  /** The ranges below the floor that a scan includes. */
  get ranges(): PositionRange[] {
    const points = [...this.#open].map((position) => ({ low: position, high: position }));
    return [...this.#gaps, ...points];
  }

  get hasGaps(): boolean {
    return this.#gaps.length > 0;
  }

  /**
   * Records the result of a scan.
   *
   * @param positions - the positions of all events that the scan found, ascending
   * @param unresolved - the positions among them whose events are neither published nor parked
   */
  advance(positions: readonly number[], unresolved: ReadonlySet<number>): void {
    // Results are ascending: a scan that went past the floor has seen everything below it.
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

  /** Adds events below the floor that are no longer parked and must be published. */
  reopen(positions: readonly number[]): void {
    for (const position of positions) if (position <= this.#floor) this.#open.add(position);
  }

  /** Records a full scan that found exactly these events: all other open positions are done. */
  noteFullScan(positions: readonly number[]): void {
    const seen = new Set(positions);
    for (const position of this.#open) if (!seen.has(position)) this.#open.delete(position);
  }

  /**
   * Finds gaps that no transaction can fill anymore. The next scan still includes them, because their transactions may have
   * committed just now; then they are forgotten. Call this about once a second, before a scan.
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

  /** Splits the gap that holds this position. Both parts stay known to {@link closeGaps}. */
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
    if (this.#gaps.length <= MAX_RANGES) return;
    const low = Math.min(...this.#gaps.map((gap) => gap.low));
    const high = Math.max(...this.#gaps.map((gap) => gap.high));
    this.#gaps = [{ low, high }];
    this.#closing = null;
  }
}

/** The longest time between two full scans (scans without a floor). */
const MAX_PAUSE_MS = 300_000;

/** Limits full scans, which can be expensive, to about 2 % of the time. The first one is due immediately. */
export class FullScanBudget {
  #dueAt = Number.NEGATIVE_INFINITY;

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueAt;
  }

  ended(beganMs: number, nowMs: number): void {
    this.#dueAt = nowMs + Math.min(Math.max(50 * (nowMs - beganMs), 1_000), MAX_PAUSE_MS);
  }
}
