/**
 * Slots for attempts that run as Temporal activities, shared by command types as in `src/dispatch/type-slots.ts`. Temporal's task queues
 * do not distinguish command types: without these slots, a flood of one type would use every activity slot of the worker.
 *
 * A first attempt that gets no slot waits in this process for up to two seconds. If it still has none, or too many others wait
 * already, it is put off: Temporal retries the activity after a delay, and other types can use its activity slot meanwhile.
 * All other attempts are put off at once, because an activity that waits here is not told that its workflow was cancelled.
 *
 * @module
 */
import type { ApplicationFailure } from '@temporalio/common';
import { FAILURE } from '../src/core/protocol.ts';
import type { TypeSlots } from '../src/dispatch/type-slots.ts';
import { unavailable } from './temporal-failures.ts';

export interface AttemptSlotsOptions {
  /** For first attempts. The relay takes slots from the same object. */
  first: TypeSlots;
  /** For all other attempts. */
  other: TypeSlots;
  /** How many first attempts may wait here. */
  places: number;
}

/**
 * first: a local activity. late: a first attempt that was put off and is an ordinary activity now; it may use slots of both
 * kinds. other: a retry, or a long-running attempt.
 */
export type AttemptKind = 'first' | 'late' | 'other';

/** Longer than most attempts take, and short for an activity's slot. */
const LONGEST_WAIT_MS = 2_000;
const PUT_OFF_MS = { least: 500, most: 30_000 };
/** The assumed duration of an attempt until the first one of its type has ended. */
const FIRST_GUESS_MS = 200;
/** An attempt's weight in the mean duration of the attempts of its type. */
const WEIGHT = 0.2;
/** Delays are shortened by up to this share, so that attempts do not all return at the same moment. */
const JITTER = 0.1;

interface Waiter {
  type: string;
  enter(): void;
}

/** How fast the attempts of one command type run, and which of them are put off. */
interface Pace {
  /** The moving average of their durations. */
  meanMs: number;
  /** For each attempt that is put off: when it returns, by the monotonic clock, and which slots it could have used. */
  away: { until: number; pools: readonly TypeSlots[] }[];
}

export class AttemptSlots {
  readonly #first: TypeSlots;
  readonly #pools: Record<AttemptKind, readonly TypeSlots[]>;
  readonly #places: number;
  /** In the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  readonly #paces = new Map<string, Pace>();

  constructor({ first, other, places }: AttemptSlotsOptions) {
    this.#first = first;
    this.#pools = { first: [first], late: [first, other], other: [other] };
    this.#places = places;
    for (const pool of [first, other])
      pool.addUser({ waiting: () => this.#waitingFor(pool), freed: () => this.#admit() });
  }

  /**
   * Runs the attempt once its type has a slot.
   *
   * @throws ApplicationFailure of type WaitsForItsTurn when it was put off: nothing was done
   */
  async run<T>(type: string, kind: AttemptKind, attempt: () => Promise<T>): Promise<T> {
    const pool = await this.#enter(type, kind);
    const began = performance.now();
    try {
      return await attempt();
    } finally {
      this.#noteDuration(type, performance.now() - began);
      pool.release(type);
    }
  }

  async #enter(type: string, kind: AttemptKind): Promise<TypeSlots> {
    // A type that stops waiting makes room for others without any event.
    this.#admit();
    // Nobody who waits is overtaken by one of the same type.
    const isBehind = kind === 'first' && this.#hasWaiter(type);
    const pool = isBehind ? undefined : this.#pools[kind].find((each) => each.tryTake(type));
    if (pool) return pool;
    if (kind !== 'first' || !this.#hasPlace(type)) throw this.#putOff(type, kind);
    await this.#wait(type);
    return this.#first;
  }

  /** Until the type has a slot of first attempts. */
  #wait(type: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(this.#putOff(type, 'first'));
      }, LONGEST_WAIT_MS);
      const waiter: Waiter = {
        type,
        enter: () => {
          clearTimeout(giveUp);
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      this.#waiters.add(waiter);
    });
  }

  #admit(): void {
    for (const waiter of this.#waiters) if (this.#first.tryTake(waiter.type)) waiter.enter();
  }

  #waitingFor(pool: TypeSlots): string[] {
    const now = performance.now();
    const here = pool === this.#first ? [...this.#waiters].map(({ type }) => type) : [];
    const away = [...this.#paces].filter(([, pace]) =>
      pace.away.some(({ until, pools }) => until > now && pools.includes(pool)),
    );
    return [...here, ...away.map(([type]) => type)];
  }

  #hasWaiter(type: string): boolean {
    return [...this.#waiters].some((waiter) => waiter.type === type);
  }

  /** One of each type may always wait, so that it is known to wait. Beyond that, no type takes all places. */
  #hasPlace(type: string): boolean {
    const own = [...this.#waiters].filter((waiter) => waiter.type === type).length;
    return own === 0 || (this.#waiters.size < this.#places && own < Math.ceil(this.#places / 2));
  }

  #noteDuration(type: string, durationMs: number): void {
    const pace = this.#paceOf(type);
    // Limited, so that long attempts during an outage of Postgres do not delay attempts after it.
    pace.meanMs += (Math.min(durationMs, LONGEST_WAIT_MS) - pace.meanMs) * WEIGHT;
  }

  #paceOf(type: string): Pace {
    const pace = this.#paces.get(type) ?? { meanMs: FIRST_GUESS_MS, away: [] };
    this.#paces.set(type, pace);
    return pace;
  }

  /**
   * Estimates when the attempts that were put off before this one will have ended, and puts it off until then. The slots of the
   * type stay in use, and few retries find no slot.
   */
  #putOff(type: string, kind: AttemptKind): ApplicationFailure {
    const now = performance.now();
    // A first attempt returns as a late one.
    const pools = this.#pools[kind === 'first' ? 'late' : kind];
    const pace = this.#paceOf(type);
    pace.away = pace.away.filter(({ until }) => until > now);
    const slots = pools.reduce((sum, pool) => sum + pool.heldBy(type), 0);
    const turnMs = ((pace.away.length + 1) * pace.meanMs) / Math.max(1, slots);
    const mostMs = PUT_OFF_MS.most * (1 - JITTER * Math.random());
    const delayMs = Math.round(Math.min(Math.max(turnMs, PUT_OFF_MS.least), mostMs));
    // The workflow runs it as an ordinary activity at once, without this delay.
    if (kind !== 'first') pace.away.push({ until: now + delayMs, pools });
    const problem = `${type} uses its share of this worker's slots; this attempt waits for its turn, and was not counted`;
    return unavailable(FAILURE.waitsForItsTurn, problem, delayMs);
  }
}
