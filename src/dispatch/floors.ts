/**
 * Where a scan for work starts. A row that is taken leaves a dead index entry behind, and while a session holds a snapshot
 * open, no vacuum removes it: a scan that always started at the oldest end would walk over everything that was ever taken.
 * So each scan of a command type starts at its floor, a time below which everything visible was taken before.
 *
 * A transaction that commits late inserts rows below the floor. A full look, without floors, finds them. It may be expensive
 * while dead entries pile up, so it runs as often as a small share of the time allows.
 *
 * @module
 */
import type { TypeShare } from '../store/dispatch.ts';

/** A row that a look has taken. */
export interface TakenRow {
  commandType: string;
  /** The time that its index is ordered by, in seconds since 1970. */
  at: number;
}

/**
 * How far below its floor a look starts. A wide look finds the rows of every transaction that took half a second or less. On a
 * busy inbox, where looks follow each other at once, most are narrow, because each look passes everything that was taken
 * within its margin.
 */
const WIDE_MARGIN_S = 0.6;
const NARROW_MARGIN_S = 0.05;
const WIDE_LOOK_EVERY_MS = 100;
/** A full look is repeated after 50 times its duration, so that it costs at most 2 % of the time. */
const FULL_LOOK_FACTOR = 50;
/** The same where something hints at a late commit: 10 % of the time. */
const HINTED_FACTOR = 10;
const HINTED_MINIMUM_MS = 100;

export interface FullLookLimits {
  minimumMs: number;
  maximumMs: number;
}

interface Floor {
  /** Seconds since 1970: everything visible below was taken before. */
  at: number;
  /** The last look took rows, so the next look follows at once. */
  busy: boolean;
}

export class Floors {
  readonly #floors = new Map<string, Floor>();
  /** When each type was last asked for with the wide margin, in ms. */
  readonly #wideLooks = new Map<string, number>();
  /** Types of which the last look found as many rows as it asked for, so that there may be more. */
  readonly #backlog = new Set<string>();
  readonly #limits: FullLookLimits;
  /** The end and the duration of the last full look for each type, in ms. */
  readonly #fullLooks = new Map<string, { endedMs: number; durationMs: number }>();
  /** For each list of types, the one that is asked for first. */
  readonly #first = new WeakMap<readonly string[], number>();

  constructor(limits: FullLookLimits) {
    this.#limits = limits;
  }

  /**
   * Returns whether it is time to look for this type without a floor.
   *
   * @param nowMs - by the monotonic clock that {@link fullLookEnded} gets
   * @param hinted - something was committed that a look with floors did not find
   */
  isFullLookDue(type: string, nowMs: number, hinted = false): boolean {
    const { minimumMs, maximumMs } = this.#limits;
    const last = this.#fullLooks.get(type);
    if (!last) return true;
    const pauseMs = hinted
      ? clamp(last.durationMs * HINTED_FACTOR, HINTED_MINIMUM_MS, maximumMs)
      : clamp(last.durationMs * FULL_LOOK_FACTOR, minimumMs, maximumMs);
    return nowMs >= last.endedMs + pauseMs;
  }

  hasBacklog(type: string): boolean {
    return this.#backlog.has(type);
  }

  /**
   * Divides `room` rows among the types: types with a backlog share what is left when every other type got one row. The
   * sum never exceeds `room`. With more types than rows, they take turns.
   *
   * @param isFull - returns whether to ask for the type without its floor
   * @param nowMs - by the monotonic clock
   * @param roomOf - returns the most rows to ask for of the type; a type with 0 is left out
   */
  ask(
    types: readonly string[],
    room: number,
    isFull: (type: string) => boolean,
    nowMs: number,
    roomOf: (type: string) => number = () => room,
  ): TypeShare[] {
    if (room <= 0) return [];
    const asked = this.#inTurn(types, room, roomOf);
    const waiting = asked.filter((type) => this.#backlog.has(type)).length;
    const rest = room - asked.length;
    const extra = Math.floor(rest / Math.max(1, waiting > 0 ? waiting : asked.length));
    return asked.map((type) => ({
      type,
      floor: isFull(type) ? Number.NEGATIVE_INFINITY : this.#startOf(type, nowMs),
      most: Math.min(roomOf(type), 1 + (waiting > 0 && !this.#backlog.has(type) ? 0 : extra)),
    }));
  }

  /** The number of looks that ask for every type once when each look may return `room` rows. */
  looksForAll(types: readonly string[], room: number): number {
    return room <= 0 ? 0 : Math.ceil(types.length / room);
  }

  /**
   * Notes what a look found.
   *
   * @param upTo - the time up to which the look has seen everything, in seconds since 1970 by the database's clock
   */
  looked(asked: readonly TypeShare[], taken: readonly TakenRow[], upTo: number): void {
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

  /** Notes when those of the types that were asked for without a floor had their full look. */
  fullLookEnded(asked: readonly TypeShare[], beganMs: number, endedMs: number): void {
    for (const { type, floor } of asked) {
      if (floor === Number.NEGATIVE_INFINITY)
        this.#fullLooks.set(type, { endedMs, durationMs: endedMs - beganMs });
    }
  }

  /** The next look has no floors: rows that were taken have been given back. */
  reset(): void {
    this.#floors.clear();
    this.#wideLooks.clear();
    this.#fullLooks.clear();
  }

  #startOf(type: string, nowMs: number): number {
    const floor = this.#floors.get(type);
    if (floor === undefined) return Number.NEGATIVE_INFINITY;
    const lastWideMs = this.#wideLooks.get(type) ?? Number.NEGATIVE_INFINITY;
    if (floor.busy && nowMs < lastWideMs + WIDE_LOOK_EVERY_MS) return floor.at - NARROW_MARGIN_S;
    this.#wideLooks.set(type, nowMs);
    return floor.at - WIDE_MARGIN_S;
  }

  #inTurn(types: readonly string[], room: number, roomOf: (type: string) => number): readonly string[] {
    const open = types.filter((type) => roomOf(type) > 0);
    if (open.length <= room) return open;
    const first = (this.#first.get(types) ?? 0) % open.length;
    this.#first.set(types, first + room);
    return [...open, ...open].slice(first, first + room);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
