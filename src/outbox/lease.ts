/**
 * The relay's lease. The relay takes it before publishing, renews it while publishing and releases it when it stops.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Pool } from 'pg';
import { withTimeout } from '../platform/deadline.ts';
import { releaseLease, renewLease, takeLease } from '../store/outbox-lease.ts';

/** The relay no longer holds the lease: another relay may be publishing by now. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';

  constructor() {
    super('the relay lost its lease on the outbox');
  }
}

const RETRY_MS = 250;
const SUSPENDED_POLL_MS = 10;
/** Keeps an unresponsive Postgres from delaying the shutdown. */
const RELEASE_TIMEOUT_MS = 2_000;

export class OutboxLease {
  readonly holder = randomUUID();
  /** Every event up to this position is published or parked. Each renewal stores it for the next relay. */
  position = -1;
  readonly #pool: Pool;
  readonly #leaseMs: number;
  #lost = new AbortController();
  /**
   * On the monotonic clock, counted from when the statement was sent. The database counts from when it received the
   * statement, so the lease ends later there.
   */
  #expiresAt = 0;
  #expiryTimer: NodeJS.Timeout | undefined;
  #renewalTimer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #suspended = false;

  constructor(pool: Pool, leaseMs: number) {
    this.#pool = pool;
    this.#leaseMs = leaseMs;
  }

  /** Aborted with a {@link LeaseLostError} when the lease is lost, and no later than when the lease expires. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** @returns false if another relay holds the lease */
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
   * Call before anything that requires the lease. A process that was frozen detects the expired lease here, before its
   * timers run.
   *
   * @throws LeaseLostError if the lease is lost or has expired
   */
  check(): void {
    if (performance.now() >= this.#expiresAt) this.#lose();
    this.#lost.signal.throwIfAborted();
  }

  /**
   * Call with the result of a statement that checks the lease.
   *
   * @throws LeaseLostError if the statement did not find the lease, or if the lease is lost or has expired
   */
  assertHeld(held: boolean): void {
    if (!held) this.#lose();
    this.check();
  }

  /** Runs work that lowers {@link position} in the database. A renewal at the same time would overwrite the lower value. */
  async withoutRenewal<T>(work: () => Promise<T>): Promise<T> {
    await this.#renewing;
    this.#suspended = true;
    try {
      return await work();
    } finally {
      this.#suspended = false;
    }
  }

  /** Never throws: a lease that cannot be released expires on its own. */
  async release(): Promise<void> {
    clearTimeout(this.#renewalTimer);
    clearTimeout(this.#expiryTimer);
    this.#expiresAt = 0;
    await this.#renewing;
    clearTimeout(this.#renewalTimer);
    clearTimeout(this.#expiryTimer);
    await withTimeout(
      RELEASE_TIMEOUT_MS,
      () => releaseLease(this.#pool, this.holder, this.position),
      () => {},
    ).catch(() => {});
  }

  #claim() {
    return { holder: this.holder, name: `${hostname()} ${process.pid}`, leaseMs: this.#leaseMs };
  }

  #extend(sentAt: number): void {
    this.#expiresAt = sentAt + this.#leaseMs;
    clearTimeout(this.#expiryTimer);
    this.#expiryTimer = setTimeout(() => this.#lose(), Math.max(0, this.#expiresAt - performance.now()));
    this.#renewIn(this.#leaseMs / 3);
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#renewalTimer);
    this.#renewalTimer = setTimeout(() => {
      if (this.#suspended) this.#renewIn(SUSPENDED_POLL_MS);
      else this.#renewing = this.#renew();
    }, ms);
  }

  async #renew(): Promise<void> {
    const sentAt = performance.now();
    try {
      const held = await renewLease(this.#pool, this.#claim(), this.position);
      if (this.#expiresAt === 0 || this.#lost.signal.aborted) return;
      if (held) this.#extend(sentAt);
      else this.#lose();
    } catch {
      // Postgres may be back before the lease expires.
      if (this.#expiresAt !== 0 && !this.#lost.signal.aborted) this.#renewIn(RETRY_MS);
    }
  }

  #lose(): void {
    clearTimeout(this.#renewalTimer);
    clearTimeout(this.#expiryTimer);
    this.#lost.abort(new LeaseLostError());
  }
}
