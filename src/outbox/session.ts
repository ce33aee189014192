/**
 * Runs the outbox relay while it holds the lease: publishes batch after batch, and retries parked events at the same time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { limitedCall } from './publish-call.ts';
import { Delivery, problemOf } from './delivery.ts';
import type { FailedEvent } from './delivery.ts';
import type { OutboxLease } from './lease.ts';
import { Parking } from './parking.ts';
import { FullScanBudget, OutboxWindow } from './window.ts';
import type { Publish, PublishedEvent } from '../core/published-event.ts';
import { doublingDelayMs } from '../core/retry-policy.ts';
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
  /** Aborted when the grace period after `stopping` is over. */
  graceOver: AbortSignal;
}

/**
 * The relay polls, because NOTIFY would serialize commits: 50 ms after a batch that was not full, then less often, up to
 * every second while the outbox is empty.
 */
const MIN_POLL_MS = 50;
const MAX_POLL_MS = 1_000;
/** How often to check for parked events that are due and for gaps that can be forgotten. */
const CHECK_MS = 1_000;
/** The most bytes of payloads in memory at once, compressed: a single event can have 1 MiB. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;

/** With more ranges than this below the floor, further parked aggregates are merged later. */
const MAX_REOPENED_RANGES = 1_000;
/** A full scan (one without a floor) that takes longer is canceled; the relay then scans above the floor as usual. */
const FULL_SCAN_TIMEOUT_MS = 3_000;
/** A scan reads at most this many times the usual batch. */
const MAX_SCAN_FACTOR = 10;

/** The time from taking the lease to losing or releasing it. */
export class OutboxSession {
  readonly #pool: Pool;
  readonly #lease: OutboxLease;
  readonly #settings: RelaySettings;
  readonly #stopping: AbortSignal;
  /** Aborted when this session ends for any reason. */
  readonly #ending = new AbortController();
  readonly #delivery: Delivery;
  readonly #parking: Parking;
  readonly #limits: BatchLimits;
  #window = new OutboxWindow();
  readonly #fullScans = new FullScanBudget();
  #lastSuccessAt = performance.now();
  /** Ends a pause between scans early. */
  #wake = new AbortController();
  #retryEnded = new AbortController();
  #error: { thrown: unknown } | null = null;

  constructor(
    pool: Pool,
    lease: OutboxLease,
    settings: RelaySettings,
    { stopping, graceOver }: RelaySignals,
  ) {
    this.#pool = pool;
    this.#lease = lease;
    this.#settings = settings;
    this.#stopping = stopping;
    const { publish, publishTimeoutMs, batchSize, maximumParkedBackoffMs, log } = settings;
    const call = limitedCall(publish, publishTimeoutMs, () => [lease.lost, graceOver, this.#ending.signal]);
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
      stopping: this.#isStopped,
      pause: (ms) => this.#pause(ms, false),
      onSuccess: () => {
        const { failures } = this.#delivery;
        this.#delivery.noteSuccess();
        return this.#noteSuccess(failures);
      },
      onRetryEnd: () => {
        this.#wake.abort();
        this.#retryEnded.abort();
      },
      onError: (error) => this.#fail(error),
    });
  }

  /**
   * Publishes until stopped.
   *
   * @throws LeaseLostError if the lease is lost; any error from Postgres
   */
  async run(): Promise<void> {
    this.#settings.log.info('outbox relay started publishing');
    try {
      await this.#parking.load();
      this.#window = new OutboxWindow(this.#lease.position);
      const retrying = this.#retryParked().catch((error: unknown) => this.#fail(error));
      await this.#publish().catch((error: unknown) => this.#fail(error));
      if (!this.#error) await Promise.all([retrying, this.#parking.retriesEnded()]);
    } finally {
      this.#ending.abort(new Error('the relay session has ended'));
      await this.#parking.retriesEnded();
    }
    if (this.#error) throw this.#error.thrown;
  }

  readonly #isStopped = () =>
    this.#stopping.aborted || this.#ending.signal.aborted || this.#lease.lost.aborted;

  /** Ends the session. The first error is the one that `run` throws. */
  #fail(thrown: unknown): void {
    this.#error ??= { thrown };
    this.#ending.abort(thrown);
    this.#wake.abort();
  }

  async #publish(): Promise<void> {
    let pollMs = MIN_POLL_MS;
    let gapsCheckedAt = 0;
    while (!this.#isStopped()) {
      this.#wake = new AbortController();
      await this.#parking.mergeRecovered((merged) => {
        this.#window.reopen(merged);
        this.#lease.position = this.#window.settled;
        return this.#window.ranges.length < MAX_REOPENED_RANGES;
      });
      if (this.#window.hasGaps && performance.now() >= gapsCheckedAt + CHECK_MS) {
        this.#window.closeGaps(await findOutboxWriters(this.#pool));
        gapsCheckedAt = performance.now();
      }
      const found = await this.#scan();
      this.#lease.check();
      const failure = found.length > 0 ? await this.#handle(found) : null;
      if (failure && !this.#isStopped()) await this.#backOff(failure, found.length);
      else if (found.length === 0) {
        await this.#pause(pollMs);
        pollMs = Math.min(pollMs * 2, MAX_POLL_MS);
        continue;
      } else if (found.length < this.#limits.events) await this.#pause(MIN_POLL_MS);
      pollMs = MIN_POLL_MS;
      this.#lease.position = this.#window.settled;
    }
    this.#lease.lost.throwIfAborted();
  }

  async #scan(): Promise<PublishedEvent[]> {
    // While single events fail, the first event that gets through may lie beyond the usual batch.
    const { failures, probeLimit } = this.#delivery;
    const factor =
      failures === 0 ? 1 : Math.min(Math.max(1, probeLimit / this.#limits.events), MAX_SCAN_FACTOR);
    const limits = {
      events: Math.ceil(this.#limits.events * factor),
      bytes: Math.ceil(MAX_BATCH_BYTES * factor),
    };
    const began = performance.now();
    if (!this.#fullScans.isDue(began)) {
      return findUnpublished(this.#pool, this.#window.floor, this.#window.ranges, limits);
    }
    const found = await findAllUnpublished(this.#pool, limits, FULL_SCAN_TIMEOUT_MS);
    this.#fullScans.ended(began, performance.now());
    if (found?.length === 0) this.#window.noteFullScan([]);
    // A full batch below the floor: someone reset the sequence, or reset `published_at` to publish old events again.
    if (found && found.length >= limits.events && found.at(-1)!.position <= this.#window.floor) {
      this.#window = new OutboxWindow(Math.min(this.#window.settled, found[0]!.position - 1));
    }
    return found ?? this.#scan();
  }

  /**
   * Publishes, marks and parks events.
   *
   * @returns the failure to back off for, or null
   */
  async #handle(found: readonly PublishedEvent[]): Promise<FailedEvent | null> {
    const held = found.filter((event) => this.#parking.isParked(event));
    const batch = held.length === 0 ? found : found.filter((event) => !this.#parking.isParked(event));
    if (held.length > 0) await this.#parking.hold(held);
    if (batch.length === 0) {
      this.#window.advance(positions(found), new Set());
      return null;
    }
    const failuresBefore = this.#delivery.failures;
    const outcome = await this.#delivery.deliver(batch, this.#isStopped);
    const { published, rejected } = outcome;
    const unresolved = new Set(batch);
    if (published.length > 0) {
      this.#lease.assertHeld(
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
    if (published.length > 0 && !outcome.failure) await this.#noteSuccess(failuresBefore);
    return outcome.failure;
  }

  async #noteSuccess(failuresBefore: number): Promise<void> {
    const now = performance.now();
    if (failuresBefore > 0) {
      this.#settings.log.info('outbox relay is publishing again');
      await this.#parking.revive(now - this.#lastSuccessAt);
    }
    this.#lastSuccessAt = now;
  }

  async #retryParked(): Promise<void> {
    while (!this.#isStopped()) {
      this.#retryEnded = new AbortController();
      // While the broker is down, retries are pointless.
      if (!this.#delivery.brokerDown) await this.#parking.startDue();
      await pause(CHECK_MS, this.#stopping, this.#ending.signal, this.#lease.lost, this.#retryEnded.signal);
    }
  }

  async #backOff({ event, error }: FailedEvent, events: number): Promise<void> {
    const { failures } = this.#delivery;
    const delayMs = backoff(this.#settings, failures);
    const namedError = error instanceof Error ? error : undefined;
    const problem = problemOf(error);
    this.#settings.log.warn('outbox relay could not publish; retrying', {
      eventId: event.id,
      events,
      failures,
      delayMs,
      error: namedError,
      problem: problem === namedError?.name ? undefined : problem,
    });
    await this.#pause(delayMs, false);
  }

  /** Ends early when the relay stops and, by default, when a retry of a parked aggregate ends. */
  async #pause(ms: number, untilWoken = true): Promise<void> {
    const signals = [this.#stopping, this.#ending.signal, this.#lease.lost];
    await pause(ms, ...signals, ...(untilWoken ? [this.#wake.signal] : []));
  }
}

function positions(events: Iterable<PublishedEvent>): number[] {
  return Array.from(events, ({ position }) => position);
}

/** Starts at 200 ms and doubles with each failure. */
export function backoff(
  { maximumBackoffMs }: Pick<RelaySettings, 'maximumBackoffMs'>,
  failures: number,
): number {
  return doublingDelayMs(200, maximumBackoffMs, failures);
}

/** Waits. Ends early, without an error, when one of the signals is aborted. */
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
