/**
 * Slots for attempts that run as Temporal activities, shared by command types as in `src/dispatch/type-slots.ts`. Temporal's
 * task queues do not distinguish command types: without these slots, a flood of one type would use every activity slot of
 * the worker.
 *
 * A first attempt that gets no slot waits in this process for up to two seconds. If it still has none, or too many others
 * are already waiting, it is deferred: Temporal retries the activity after a delay, and other types can use its activity
 * slot in the meantime. All other attempts are deferred immediately, because an activity that waits here doesn't notice that
 * its workflow was canceled.
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
  /** How many first attempts may wait in this process. */
  places: number;
}

/**
 * first: a local activity. late: a first attempt that was deferred and now runs as an ordinary activity; it may use slots of
 * both kinds. other: a retry, or a long-running attempt.
 */
export type AttemptKind = 'first' | 'late' | 'other';

/** Longer than most attempts take, but not long for an activity to hold its slot. */
const MAX_WAIT_MS = 2_000;
const DEFERRAL_MS = { min: 500, max: 30_000 };
/** The assumed duration of an attempt until the first one of its type has ended. */
const INITIAL_MEAN_MS = 200;
/** An attempt's weight in the mean duration of the attempts of its type. */
const WEIGHT = 0.2;
/** Delays are shortened by up to this share, so that attempts do not all return at the same moment. */
const JITTER = 0.1;

interface Waiter {
  type: string;
  enter(): void;
}

/** How fast the attempts of one command type run, and which of them are deferred. */
interface Pace {
  /** The moving average of their durations. */
  meanMs: number;
  /** For each deferred attempt: when it returns, by the monotonic clock, and which slots it could have used. */
  deferred: { until: number; pools: readonly TypeSlots[] }[];
}

export class AttemptSlots {
  readonly #first: TypeSlots;
  readonly #pools: Record<AttemptKind, readonly TypeSlots[]>;
  readonly #places: number;
  /** In order of arrival. */
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
   * @throws ApplicationFailure of type WaitsForItsTurn if the attempt was deferred and did nothing
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
    // When a type stops waiting, other types may get its share, but nothing else calls #admit then.
    this.#admit();
    // A new attempt doesn't overtake a waiting attempt of the same type.
    const mustQueue = kind === 'first' && this.#hasWaiter(type);
    const pool = mustQueue ? undefined : this.#pools[kind].find((each) => each.tryTake(type));
    if (pool) return pool;
    if (kind !== 'first' || !this.#hasPlace(type)) throw this.#defer(type, kind);
    await this.#wait(type);
    return this.#first;
  }

  /** Waits until the type gets a slot for first attempts. */
  #wait(type: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(this.#defer(type, 'first'));
      }, MAX_WAIT_MS);
      const waiter: Waiter = {
        type,
        enter: () => {
          clearTimeout(timeout);
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
    const waiting = pool === this.#first ? [...this.#waiters].map(({ type }) => type) : [];
    const deferred = [...this.#paces].filter(([, pace]) =>
      pace.deferred.some(({ until, pools }) => until > now && pools.includes(pool)),
    );
    return [...waiting, ...deferred.map(([type]) => type)];
  }

  #hasWaiter(type: string): boolean {
    return [...this.#waiters].some((waiter) => waiter.type === type);
  }

  /** One attempt of each type may always wait, so that its type counts as waiting. Beyond that, no type takes all places. */
  #hasPlace(type: string): boolean {
    const own = [...this.#waiters].filter((waiter) => waiter.type === type).length;
    return own === 0 || (this.#waiters.size < this.#places && own < Math.ceil(this.#places / 2));
  }

  #noteDuration(type: string, durationMs: number): void {
    const pace = this.#paceOf(type);
    // Limited, so that long attempts during a Postgres outage don't delay attempts after it.
    pace.meanMs += (Math.min(durationMs, MAX_WAIT_MS) - pace.meanMs) * WEIGHT;
  }

  #paceOf(type: string): Pace {
    const pace = this.#paces.get(type) ?? { meanMs: INITIAL_MEAN_MS, deferred: [] };
    this.#paces.set(type, pace);
    return pace;
  }

  /**
   * Defers the attempt until the estimated time when the attempts deferred before it have ended. This keeps the type's slots
   * in use, and few attempts return before a slot is free.
   */
  #defer(type: string, kind: AttemptKind): ApplicationFailure {
    const now = performance.now();
    // A deferred first attempt returns as a late one.
    const pools = this.#pools[kind === 'first' ? 'late' : kind];
    const pace = this.#paceOf(type);
    pace.deferred = pace.deferred.filter(({ until }) => until > now);
    const slots = pools.reduce((sum, pool) => sum + pool.heldBy(type), 0);
    const turnMs = ((pace.deferred.length + 1) * pace.meanMs) / Math.max(1, slots);
    const maxMs = DEFERRAL_MS.max * (1 - JITTER * Math.random());
    const delayMs = Math.round(Math.min(Math.max(turnMs, DEFERRAL_MS.min), maxMs));
    // The workflow immediately repeats a first attempt as an ordinary activity, without this delay.
    if (kind !== 'first') pace.deferred.push({ until: now + delayMs, pools });
    const problem = `${type} uses its full share of this worker's slots; this attempt waits for its turn and was not counted`;
    return unavailable(FAILURE.waitsForItsTurn, problem, delayMs);
  }
}
