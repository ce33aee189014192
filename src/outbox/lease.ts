/**
 * The relay's lease: taken before it publishes, renewed while it does, given back when it stops.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { releaseLease, renewLease, takeLease } from '../store/outbox-lease.ts';

/** Another relay publishes, or may do so by now. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';

  constructor() {
    super('the relay lost its lease on the outbox');
  }
}

const RETRY_MS = 250;
const SUSPENDED_MS = 10;
/** A Postgres that does not answer must not delay a shutdown. */
const RELEASE_LIMIT_MS = 2_000;

export class OutboxLease {
  readonly holder = randomUUID();
  /** No event is left up to here. It is stored with each renewal, for the relay that comes next. */
  position = -1;
  readonly #pool: Pool;
  readonly #leaseMs: number;
  #lost = new AbortController();
  /** By the monotonic clock. The database counts from when it got the statement, so the lease there ends later. */
  #endsAt = 0;
  #deadline: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #suspended = false;

  constructor(pool: Pool, leaseMs: number) {
    this.#pool = pool;
    this.#leaseMs = leaseMs;
  }

  /** Aborted with a {@link LeaseLostError}, at the latest when the lease ends. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** False when another relay has it. */
  async take(): Promise<boolean> {
    const sentAt = performance.now();
    const position = await takeLease(this.#pool, this.#claim());
    if (position === null) return false;
    this.position = position;
    this.#lost = new AbortController();
    this.#extend(sentAt);
    return true;
  }

  /**
   * For what must not happen without the lease. A process that was frozen finds out here, before its timers run.
   *
   * @throws LeaseLostError
   */
  check(): void {
    if (performance.now() >= this.#endsAt) this.#lose();
    this.#lost.signal.throwIfAborted();
  }

  /**
   * For the answer of a statement that checks the lease.
   *
   * @throws LeaseLostError
   */
  expect(held: boolean): void {
    if (!held) this.#lose();
    this.check();
  }

  /** Runs work that lowers {@link position} in the database; a renewal in between would set it back. */
  async withoutRenewal<T>(work: () => Promise<T>): Promise<T> {
    await this.#renewing;
    this.#suspended = true;
    try {
      return await work();
    } finally {
      this.#suspended = false;
    }
  }

  /** Never throws: a lease that cannot be given back ends by itself. */
  async release(): Promise<void> {
    clearTimeout(this.#renewal);
    clearTimeout(this.#deadline);
    this.#endsAt = 0;
    await this.#renewing;
    clearTimeout(this.#renewal);
    clearTimeout(this.#deadline);
    const released = releaseLease(this.#pool, this.holder, this.position).catch(() => {});
    await Promise.race([released, sleep(RELEASE_LIMIT_MS, undefined, { ref: false })]);
  }

  #claim() {
    return { holder: this.holder, name: `${hostname()} ${process.pid}`, leaseMs: this.#leaseMs };
  }

  #extend(sentAt: number): void {
    this.#endsAt = sentAt + this.#leaseMs;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#lose(), Math.max(0, this.#endsAt - performance.now()));
    this.#renewIn(this.#leaseMs / 3);
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => {
      if (this.#suspended) this.#renewIn(SUSPENDED_MS);
      else this.#renewing = this.#renew();
    }, ms);
  }

  async #renew(): Promise<void> {
    const sentAt = performance.now();
    try {
      const held = await renewLease(this.#pool, this.#claim(), this.position);
      if (this.#endsAt === 0 || this.#lost.signal.aborted) return;
      if (held) this.#extend(sentAt);
      else this.#lose();
    } catch {
      // Postgres may be back before the lease ends.
      if (this.#endsAt !== 0 && !this.#lost.signal.aborted) this.#renewIn(RETRY_MS);
    }
  }

  #lose(): void {
    clearTimeout(this.#renewal);
    clearTimeout(this.#deadline);
    this.#lost.abort(new LeaseLostError());
  }
}
