/**
 * What the outbox relay does while it has the lease: publishes batch after batch, and beside them what is parked.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { limitedCall } from './publish-call.ts';
import { Delivery, problemOf } from './delivery.ts';
import type { Failed } from './delivery.ts';
import type { OutboxLease } from './lease.ts';
import { Parking } from './parking.ts';
import { LookBudget, OutboxWindow } from './window.ts';
import type { Publish, PublishedEvent } from '../core/published-event.ts';
import { backoffDelayMs } from '../core/retry-policy.ts';
import { findOutboxWriters } from '../store/outbox-lease.ts';
import { findAllUnpublished, findUnpublished, markPublished } from '../store/outbox.ts';
import type { BatchLimits } from '../store/outbox.ts';

export interface RelaySettings {
  publish: Publish;
  batchSize: number;
  publishTimeoutMs: number;
  maximumBackoffMs: number;
  maximumParkedBackoffMs: number;
  log: CommandLog;
}

export interface RelaySignals {
  stopping: AbortSignal;
  /** The grace time after stopping is over. */
  cut: AbortSignal;
}

/** From 50 ms after a batch that was not full to 1 s while there is nothing. NOTIFY would serialize commits. */
const SHORTEST_POLL_MS = 50;
const LONGEST_POLL_MS = 1_000;
/** How often to look for parked events that are due, and for gaps that can be forgotten. */
const CHECK_MS = 1_000;
/** Of payloads in memory at once, compressed: events may have 1 MiB each. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;

/** Above so many ranges below the floor, further lanes are merged later. */
const MOST_REOPENED = 1_000;
/** A look without a floor is given up after this time. What is above the floor is published nevertheless. */
const FULL_LOOK_LIMIT_MS = 3_000;
/** A look reads at most this many times its usual size. */
const MOST_WIDER = 10;

/** One time of having the lease. */
export class OutboxSession {
  readonly #pool: Pool;
  readonly #lease: OutboxLease;
  readonly #settings: RelaySettings;
  readonly #stopping: AbortSignal;
  /** Aborted when this session ends, for whatever reason. */
  readonly #ending = new AbortController();
  readonly #delivery: Delivery;
  readonly #parking: Parking;
  readonly #limits: BatchLimits;
  #window = new OutboxWindow();
  readonly #fullLooks = new LookBudget();
  #lastSuccessAt = performance.now();
  /** Ends a pause between looks early. */
  #wake = new AbortController();
  #tryEnded = new AbortController();
  #error: { thrown: unknown } | null = null;

  constructor(pool: Pool, lease: OutboxLease, settings: RelaySettings, { stopping, cut }: RelaySignals) {
    this.#pool = pool;
    this.#lease = lease;
    this.#settings = settings;
    this.#stopping = stopping;
    const { publish, publishTimeoutMs, batchSize, maximumParkedBackoffMs, log } = settings;
    const call = limitedCall(publish, publishTimeoutMs, () => [lease.lost, cut, this.#ending.signal]);
    this.#limits = { events: batchSize, bytes: MAX_BATCH_BYTES };
    this.#delivery = new Delivery((events) => {
      lease.check();
      return call(events);
    });
    this.#parking = new Parking({
      pool,
      lease,
      call,
      limits: this.#limits,
      maximumBackoffMs: maximumParkedBackoffMs,
      log,
      stopping: this.#stopped,
      pause: (ms) => this.#pause(ms, false),
      onSuccess: () => {
        const { failures } = this.#delivery;
        this.#delivery.succeeded();
        return this.#succeeded(failures);
      },
      onEnd: () => {
        this.#wake.abort();
        this.#tryEnded.abort();
      },
      onError: (error) => this.#fail(error),
    });
  }

  /**
   * Until it is stopped.
   *
   * @throws LeaseLostError; anything that Postgres throws
   */
  async run(): Promise<void> {
    this.#settings.log.info('outbox relay publishes');
    try {
      await this.#parking.load();
      this.#window = new OutboxWindow(this.#lease.position);
      const retrying = this.#retry().catch((error: unknown) => this.#fail(error));
      await this.#publish().catch((error: unknown) => this.#fail(error));
      if (!this.#error) await Promise.all([retrying, this.#parking.settled()]);
    } finally {
      this.#ending.abort(new Error('the relay has ended its session'));
      await this.#parking.settled();
    }
    if (this.#error) throw this.#error.thrown;
  }

  readonly #stopped = () => this.#stopping.aborted || this.#ending.signal.aborted || this.#lease.lost.aborted;

  /** The first error ends everything. */
  #fail(thrown: unknown): void {
    this.#error ??= { thrown };
    this.#ending.abort(thrown);
    this.#wake.abort();
  }

  async #publish(): Promise<void> {
    let pollMs = SHORTEST_POLL_MS;
    let gapsCheckedAt = 0;
    while (!this.#stopped()) {
      this.#wake = new AbortController();
      await this.#parking.mergeRecovered((merged) => {
        this.#window.reopen(merged);
        this.#lease.position = this.#window.settled;
        return this.#window.ranges.length < MOST_REOPENED;
      });
      if (this.#window.hasGaps && performance.now() >= gapsCheckedAt + CHECK_MS) {
        this.#window.closeGaps(await findOutboxWriters(this.#pool));
        gapsCheckedAt = performance.now();
      }
      const found = await this.#look();
      this.#lease.check();
      const failure = found.length > 0 ? await this.#handle(found) : null;
      if (failure && !this.#stopped()) await this.#backOff(failure, found.length);
      else if (found.length === 0) {
        await this.#pause(pollMs);
        pollMs = Math.min(pollMs * 2, LONGEST_POLL_MS);
        continue;
      } else if (found.length < this.#limits.events) await this.#pause(SHORTEST_POLL_MS);
      pollMs = SHORTEST_POLL_MS;
      this.#lease.position = this.#window.settled;
    }
    this.#lease.lost.throwIfAborted();
  }

  async #look(): Promise<PublishedEvent[]> {
    // Where single events fail, the one that shows that the broker is there may be further on.
    const { failures, probes } = this.#delivery;
    const wider = failures === 0 ? 1 : Math.min(Math.max(1, probes / this.#limits.events), MOST_WIDER);
    const limits = {
      events: Math.ceil(this.#limits.events * wider),
      bytes: Math.ceil(MAX_BATCH_BYTES * wider),
    };
    const began = performance.now();
    if (!this.#fullLooks.isDue(began)) {
      return findUnpublished(this.#pool, this.#window.floor, this.#window.ranges, limits);
    }
    const found = await findAllUnpublished(this.#pool, limits, FULL_LOOK_LIMIT_MS);
    this.#fullLooks.ended(began, performance.now());
    if (found?.length === 0) this.#window.sawAll([]);
    // Many below the floor: somebody reset the sequence, or wants old events published again.
    if (found && found.length >= limits.events && found.at(-1)!.position <= this.#window.floor) {
      this.#window = new OutboxWindow(Math.min(this.#window.settled, found[0]!.position - 1));
    }
    return found ?? this.#look();
  }

  /** Publishes, marks and parks; the failure that makes it back off, if any. */
  async #handle(found: readonly PublishedEvent[]): Promise<Failed | null> {
    const held = found.filter((event) => this.#parking.isParked(event));
    const batch = held.length === 0 ? found : found.filter((event) => !this.#parking.isParked(event));
    if (held.length > 0) await this.#parking.hold(held);
    if (batch.length === 0) {
      this.#window.advance(positions(found), new Set());
      return null;
    }
    const failuresBefore = this.#delivery.failures;
    const outcome = await this.#delivery.deliver(batch, this.#stopped);
    const { published, rejected } = outcome;
    const unresolved = new Set(batch);
    if (published.length > 0) {
      this.#lease.expect(
        await markPublished(
          this.#pool,
          this.#lease.holder,
          published.map(({ id }) => id),
        ),
      );
      for (const event of published) unresolved.delete(event);
    }
    for (const each of rejected) {
      for (const event of await this.#parking.park(each, batch)) unresolved.delete(event);
    }
    this.#window.advance(positions(found), new Set(positions(unresolved)));
    if (published.length > 0 && !outcome.failure) await this.#succeeded(failuresBefore);
    return outcome.failure;
  }

  async #succeeded(failuresBefore: number): Promise<void> {
    const now = performance.now();
    if (failuresBefore > 0) {
      this.#settings.log.info('outbox relay publishes again');
      await this.#parking.revive(now - this.#lastSuccessAt);
    }
    this.#lastSuccessAt = now;
  }

  async #retry(): Promise<void> {
    while (!this.#stopped()) {
      this.#tryEnded = new AbortController();
      // A broker that takes nothing need not be asked for these.
      if (!this.#delivery.away) await this.#parking.startDue();
      await pause(CHECK_MS, this.#stopping, this.#ending.signal, this.#lease.lost, this.#tryEnded.signal);
    }
  }

  async #backOff({ event, error }: Failed, events: number): Promise<void> {
    const { failures } = this.#delivery;
    const delayMs = backoff(this.#settings, failures);
    const named = error instanceof Error ? error : undefined;
    const problem = problemOf(error);
    this.#settings.log.warn('outbox relay could not publish, tries again', {
      eventId: event.id,
      events,
      failures,
      delayMs,
      error: named,
      problem: problem === named?.name ? undefined : problem,
    });
    await this.#pause(delayMs, false);
  }

  /** Also ends when a parked aggregate has recovered. */
  async #pause(ms: number, untilWoken = true): Promise<void> {
    const signals = [this.#stopping, this.#ending.signal, this.#lease.lost];
    await pause(ms, ...signals, ...(untilWoken ? [this.#wake.signal] : []));
  }
}

function positions(events: Iterable<PublishedEvent>): number[] {
  return Array.from(events, ({ position }) => position);
}

/** From 200 ms, twice as long each time. */
export function backoff(
  { maximumBackoffMs }: Pick<RelaySettings, 'maximumBackoffMs'>,
  failures: number,
): number {
  const policy = { maximumAttempts: 0, initialIntervalMs: 200, backoffCoefficient: 2 };
  return backoffDelayMs({ ...policy, maximumIntervalMs: maximumBackoffMs }, failures);
}

/** Ends early, without an error, when one of the signals is aborted. */
export async function pause(ms: number, ...signals: AbortSignal[]): Promise<void> {
  const end = new AbortController();
  const abort = () => end.abort();
  for (const signal of signals) {
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  }
  await sleep(ms, undefined, { signal: end.signal }).catch(() => {});
  for (const signal of signals) signal.removeEventListener('abort', abort);
}
