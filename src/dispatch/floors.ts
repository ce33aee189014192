/**
 * Decides where a scan for work starts. Every row that a scan takes leaves a dead index entry behind, and vacuum cannot
 * remove the dead entry while a session holds a snapshot open. A scan that always started at the oldest entry would walk
 * over everything that was ever taken. So each scan of a command type starts at the type's floor: a time such that all
 * visible rows before it were taken already.
 *
 * A transaction that commits late can insert rows below the floor. A full scan, which has no floors, finds them. Full scans
 * can be expensive while dead entries pile up, so they may only use a small share of the time.
 *
 * @module
 */
import type { TypeShare } from '../store/dispatch.ts';

/** A row that a scan has taken. */
export interface TakenRow {
  commandType: string;
  /** The time that the scan's index is ordered by, in seconds since 1970. */
  at: number;
}

/**
 * How far below the floor a scan starts. A wide scan finds the rows of every transaction that took at most half a second. On
 * a busy inbox, where one scan follows another, most scans are narrow, because each walks over everything that was taken
 * within its margin.
 */
const WIDE_MARGIN_S = 0.6;
const NARROW_MARGIN_S = 0.05;
const WIDE_SCAN_INTERVAL_MS = 100;
/** A full scan is repeated after 50 times its duration, so that full scans use at most 2 % of the time. */
const FULL_SCAN_FACTOR = 50;
/** The same factor when something hints at a late commit: at most 10 % of the time. */
const HINTED_FACTOR = 10;
const HINTED_MINIMUM_MS = 100;

export interface FullScanLimits {
  minimumMs: number;
  maximumMs: number;
}

interface Floor {
  /** Seconds since 1970. All visible rows before this time were taken already. */
  at: number;
  /** The last scan took rows, so the next scan follows immediately. */
  busy: boolean;
}

export class Floors {
  readonly #floors = new Map<string, Floor>();
  /** When each type was last scanned with the wide margin, in ms. */
  readonly #wideScans = new Map<string, number>();
  /** Types for which the last scan found as many rows as it asked for, so there may be more. */
  readonly #backlog = new Set<string>();
  readonly #limits: FullScanLimits;
  /** The end and the duration of the last full scan of each type, in ms. */
  readonly #fullScans = new Map<string, { endedMs: number; durationMs: number }>();
  /** For each list of types, the index of the type that is scanned first. */
  readonly #first = new WeakMap<readonly string[], number>();

  constructor(limits: FullScanLimits) {
    this.#limits = limits;
  }

  /**
   * Returns true if it is time to scan this type without a floor.
   *
   * @param nowMs - from the same monotonic clock as the times for {@link noteFullScans}
   * @param hinted - something was committed that a scan with floors did not find
   */
  isFullScanDue(type: string, nowMs: number, hinted = false): boolean {
    const { minimumMs, maximumMs } = this.#limits;
    const last = this.#fullScans.get(type);
    if (!last) return true;
    const pauseMs = hinted
      ? clamp(last.durationMs * HINTED_FACTOR, HINTED_MINIMUM_MS, maximumMs)
      : clamp(last.durationMs * FULL_SCAN_FACTOR, minimumMs, maximumMs);
    return nowMs >= last.endedMs + pauseMs;
  }

  hasBacklog(type: string): boolean {
    return this.#backlog.has(type);
  }

  /**
   * Divides `limit` rows among the types: every type gets one row, and the types with a backlog share the rest. If no type
   * has a backlog, all types share the rest. The sum never exceeds `limit`. If there are more types than rows, they take
   * turns.
   *
   * @param isFull - returns whether to scan the type without its floor
   * @param nowMs - from the monotonic clock
   * @param limitOf - returns the maximum number of rows for the type; a type with 0 is left out
   */
  planScan(
    types: readonly string[],
    limit: number,
    isFull: (type: string) => boolean,
    nowMs: number,
    limitOf: (type: string) => number = () => limit,
  ): TypeShare[] {
    if (limit <= 0) return [];
    const asked = this.#takeTurns(types, limit, limitOf);
    const waiting = asked.filter((type) => this.#backlog.has(type)).length;
    const rest = limit - asked.length;
    const extra = Math.floor(rest / Math.max(1, waiting > 0 ? waiting : asked.length));
    return asked.map((type) => ({
      type,
      floor: isFull(type) ? Number.NEGATIVE_INFINITY : this.#startOf(type, nowMs),
      most: Math.min(limitOf(type), 1 + (waiting > 0 && !this.#backlog.has(type) ? 0 : extra)),
    }));
  }

  /** The number of scans after which every type was included once, if each scan may return `limit` rows. */
  scansForAll(types: readonly string[], limit: number): number {
    return limit <= 0 ? 0 : Math.ceil(types.length / limit);
  }

  /**
   * Records what a scan found.
   *
   * @param upTo - the time up to which the scan has seen everything, in seconds since 1970 by the database's clock
   */
  noteScan(asked: readonly TypeShare[], taken: readonly TakenRow[], upTo: number): void {
    const found = new Map<string, { count: number; newest: number }>();
    for (const { commandType, at } of taken) {
      const { count = 0, newest = at } = found.get(commandType) ?? {};
      found.set(commandType, { count: count + 1, newest: Math.max(newest, at) });
    }
    for (const { type, most } of asked) {
      const { count = 0, newest = upTo } = found.get(type) ?? {};
      const isMore = count >= most;
      if (isMore) this.#backlog.add(type);
      else this.#backlog.delete(type);
      this.#floors.set(type, { at: isMore ? newest : upTo, busy: count > 0 });
    }
  }

  /** Records a full scan for each of these types that was scanned without a floor. */
  noteFullScans(asked: readonly TypeShare[], beganMs: number, endedMs: number): void {
    for (const { type, floor } of asked) {
      if (floor === Number.NEGATIVE_INFINITY)
        this.#fullScans.set(type, { endedMs, durationMs: endedMs - beganMs });
    }
  }

  /** Removes all floors for the next scan, because rows that were taken were released again. */
  reset(): void {
    this.#floors.clear();
    this.#wideScans.clear();
    this.#fullScans.clear();
  }

  #startOf(type: string, nowMs: number): number {
    const floor = this.#floors.get(type);
    if (floor === undefined) return Number.NEGATIVE_INFINITY;
    const lastWideMs = this.#wideScans.get(type) ?? Number.NEGATIVE_INFINITY;
    if (floor.busy && nowMs < lastWideMs + WIDE_SCAN_INTERVAL_MS) return floor.at - NARROW_MARGIN_S;
    this.#wideScans.set(type, nowMs);
    return floor.at - WIDE_MARGIN_S;
  }

  #takeTurns(types: readonly string[], limit: number, limitOf: (type: string) => number): readonly string[] {
    const open = types.filter((type) => limitOf(type) > 0);
    if (open.length <= limit) return open;
    const first = (this.#first.get(types) ?? 0) % open.length;
    this.#first.set(types, first + limit);
    return [...open, ...open].slice(first, first + limit);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
