/**
 * Slots for the attempts that Temporal asks this worker for, shared by command types as in `src/type-slots.ts`. Temporal's own
 * queues know no types: without this, a flood of one type would take every activity slot of the worker.
 *
 * An attempt that gets no slot waits here for a moment. After that, or when too many wait already, it is put off: Temporal
 * asks again after a delay, and meanwhile the activity's slot is free for other types.
 *
 * @module
 */
import type { AttemptInput } from '../src/outcome.ts';
import { FAILURE } from '../src/protocol.ts';
import { TypeSlots } from '../src/type-slots.ts';
import { unavailable } from './answers.ts';

type Lane = AttemptInput['lane'];

export interface AttemptSlotsOptions {
  /** First attempts at a time. */
  concurrency: number;
  /** All other attempts at a time. */
  retryConcurrency: number;
  /** How many command types the worker knows. */
  types: number;
}

/** Longer than most attempts take, and short for an activity's slot. */
const LONGEST_WAIT_MS = 2_000;
const PUT_OFF_MS = { least: 500, most: 30_000 };
/** An attempt's weight in the mean duration of the attempts of its type. */
const WEIGHT = 0.2;
/** Those that were put off together do not come back together. */
const JITTER = 0.1;

interface Waiter {
  type: string;
  pools: readonly TypeSlots[];
  enter(pool: TypeSlots): void;
}

/** What is known of the attempts of one type. */
interface Pace {
  meanMs: number;
  /** When the next attempt that is put off is expected to have its turn, by the monotonic clock. */
  nextTurn: number;
}

export class AttemptSlots {
  readonly #first: TypeSlots;
  readonly #other: TypeSlots;
  readonly #places: number;
  readonly #size: number;
  /** In the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  readonly #paces = new Map<string, Pace>();

  constructor({ concurrency, retryConcurrency, types }: AttemptSlotsOptions) {
    this.#first = new TypeSlots(concurrency, types);
    this.#other = new TypeSlots(retryConcurrency, types);
    this.#size = concurrency + retryConcurrency;
    this.#places = placesToWait(concurrency);
  }

  /**
   * Runs the attempt once its type has a slot.
   *
   * @param isFirst - it may use the slots of first attempts: one that was put off comes back as an ordinary activity
   * @throws ApplicationFailure of type WaitsForItsTurn when it was put off: nothing was done
   */
  async run<T>(type: string, lane: Lane, isFirst: boolean, attempt: () => Promise<T>): Promise<T> {
    const pool = await this.#enter(type, lane, isFirst);
    const began = performance.now();
    try {
      return await attempt();
    } finally {
      this.#noteDuration(type, performance.now() - began);
      pool.release(type);
      this.#admit();
    }
  }

  async #enter(type: string, lane: Lane, isFirst: boolean): Promise<TypeSlots> {
    const pools = lane === 'first' ? [this.#first] : isFirst ? [this.#first, this.#other] : [this.#other];
    const waiter: Waiter = { type, pools, enter: () => {} };
    // Nobody who waits is overtaken by one of the same type.
    const pool = this.#isWaiting(type, pools) ? null : this.#take(waiter);
    if (pool) return pool;
    if (!this.#hasPlace(type, pools)) throw this.#putOff(type);
    return this.#wait(waiter);
  }

  #wait(waiter: Waiter): Promise<TypeSlots> {
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(this.#putOff(waiter.type));
      }, LONGEST_WAIT_MS);
      waiter.enter = (pool) => {
        clearTimeout(giveUp);
        this.#waiters.delete(waiter);
        resolve(pool);
      };
      this.#waiters.add(waiter);
    });
  }

  #admit(): void {
    for (const waiter of this.#waiters) {
      const pool = this.#take(waiter);
      if (pool) waiter.enter(pool);
    }
  }

  #take({ type, pools }: Waiter): TypeSlots | null {
    const pool = pools.find((each) => each.room(this.#waitingFor(each)).of(type) > 0);
    pool?.take(type);
    return pool ?? null;
  }

  #waitingFor(pool: TypeSlots): ReadonlySet<string> {
    return new Set([...this.#waiters].filter(({ pools }) => pools.includes(pool)).map(({ type }) => type));
  }

  #isWaiting(type: string, pools: readonly TypeSlots[]): boolean {
    return pools.every((pool) => this.#waitingFor(pool).has(type));
  }

  /** No type takes all places: one that comes later may have to wait, too. */
  #hasPlace(type: string, pools: readonly TypeSlots[]): boolean {
    const waiting = [...this.#waiters].filter((waiter) => waiter.pools[0] === pools[0]);
    const own = waiting.filter((waiter) => waiter.type === type).length;
    return waiting.length < this.#places && own < Math.ceil(this.#places / 2);
  }

  #noteDuration(type: string, durationMs: number): void {
    const pace = this.#paces.get(type);
    if (pace) pace.meanMs += (durationMs - pace.meanMs) * WEIGHT;
    else this.#paces.set(type, { meanMs: durationMs, nextTurn: 0 });
  }

  /**
   * As if those that are put off stood in a line: each comes back when those before it should have ended, so that the slots of
   * the type stay in use and Temporal is not asked in vain.
   */
  #putOff(type: string) {
    const now = performance.now();
    const pace = this.#paces.get(type) ?? { meanMs: LONGEST_WAIT_MS, nextTurn: 0 };
    this.#paces.set(type, pace);
    const turn = Math.max(pace.nextTurn, now) + pace.meanMs / this.#size;
    pace.nextTurn = Math.min(turn, now + PUT_OFF_MS.most);
    const delay = Math.max(PUT_OFF_MS.least, pace.nextTurn - now) * (1 + JITTER * Math.random());
    const problem = `${type} uses its share of this worker's slots; this attempt waits for its turn, and was not counted`;
    return unavailable(FAILURE.waitsForItsTurn, problem, Math.round(delay));
  }
}

/** Attempts that may wait within the worker, of the first ones and of the others each. */
export function placesToWait(concurrency: number): number {
  return Math.max(4, Math.ceil(concurrency / 2));
}
