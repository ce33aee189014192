/**
 * One turn of the outbox relay: waits for the lease, then publishes batch after batch.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { CommandLog } from './command.ts';
import { PublishError } from './errors.ts';
import { OutboxBatches } from './outbox-batches.ts';
import type { PublishOutcome } from './outbox-batches.ts';
import type { Publish, PublishedEvent } from './publisher.ts';
import { isDirectConnection } from './store/backends.ts';
import { LEASE_MS, releaseOutboxLease, renewOutboxLease, takeOutboxLease } from './store/outbox-lease.ts';

export interface RelaySettings {
  publish: Publish;
  batchSize: number;
  publishTimeoutMs: number;
  maximumBackoffMs: number;
  log: CommandLog;
}

export interface RelaySignals {
  stopping: AbortSignal;
  /** The grace time after stopping is over. */
  cut: AbortSignal;
  /** The connection is gone. */
  lost: AbortSignal;
}

/** From 50 ms after a batch that was not full to 1 s while there is nothing. NOTIFY would serialize commits. */
const SHORTEST_POLL_MS = 50;
const LONGEST_POLL_MS = 1_000;
/** How soon another relay's end is noticed. */
const LEASE_POLL_MS = 1_000;
/** Several times within a lease, also while a batch is under way. */
const RENEW_EVERY_MS = LEASE_MS / 4;

/** Another relay has taken the lease, because this one was silent for too long. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** What the relay does with one connection. */
export class OutboxSession {
  readonly #client: PoolClient;
  readonly #settings: RelaySettings;
  readonly #signals: RelaySignals;
  readonly #holder = randomUUID();
  /** Aborted when the lease or the connection is gone: what is under way must not go on. */
  readonly #over = new AbortController();

  constructor(client: PoolClient, settings: RelaySettings, signals: RelaySignals) {
    this.#client = client;
    this.#settings = settings;
    this.#signals = signals;
  }

  /** Runs until it is stopped; throws what Postgres threw, and LeaseLostError. */
  async run(): Promise<void> {
    if (!(await this.#takeTurn())) return;
    const { lost } = this.#signals;
    const onLost = () => this.#over.abort(lost.reason);
    lost.addEventListener('abort', onLost, { once: true });
    if (lost.aborted) onLost();
    const renewing = setInterval(() => void this.#renew(), RENEW_EVERY_MS);
    try {
      await this.#publishAll();
      await releaseOutboxLease(this.#client, this.#holder);
    } finally {
      clearInterval(renewing);
      lost.removeEventListener('abort', onLost);
    }
  }

  async #publishAll(): Promise<void> {
    const { stopping } = this.#signals;
    const { log, batchSize } = this.#settings;
    log.info('outbox relay publishes');
    const batches = new OutboxBatches({
      db: this.#client,
      holder: this.#holder,
      batchSize,
      log,
      publish: (events, timeoutMs) => this.#publish(events, timeoutMs),
      isStopping: () => stopping.aborted,
      maximumBackoffMs: this.#settings.maximumBackoffMs,
      publishTimeoutMs: this.#settings.publishTimeoutMs,
    });
    let pollMs = SHORTEST_POLL_MS;
    while (!stopping.aborted) {
      this.#over.signal.throwIfAborted();
      const turn = await batches.turn();
      if (turn.kind === 'failed') {
        await pause(turn.delayMs, stopping);
      } else if (turn.kind === 'nothing') {
        await pause(pollMs, stopping);
        pollMs = Math.min(pollMs * 2, LONGEST_POLL_MS);
      } else {
        pollMs = SHORTEST_POLL_MS;
        if (!turn.isMore) await pause(SHORTEST_POLL_MS, stopping);
      }
    }
  }

  /** Waits until no other relay publishes; false when this one was stopped before. */
  async #takeTurn(): Promise<boolean> {
    const { stopping } = this.#signals;
    const direct = await isDirectConnection(this.#client);
    while (!stopping.aborted) {
      if (await takeOutboxLease(this.#client, this.#holder, direct)) return true;
      await pause(LEASE_POLL_MS, stopping);
    }
    return false;
  }

  /** A statement that fails here fails in the next turn as well, which reports it. */
  async #renew(): Promise<void> {
    const isHeld = await renewOutboxLease(this.#client, this.#holder).catch(() => true);
    if (!isHeld) this.#over.abort(new LeaseLostError('another relay publishes now'));
  }

  /** Throws when the lease or the connection was lost meanwhile. */
  async #publish(events: readonly PublishedEvent[], timeoutMs: number): Promise<PublishOutcome> {
    const { cut } = this.#signals;
    const over = this.#over.signal;
    const limit = new AbortController();
    const abort = () => limit.abort(over.aborted ? over.reason : cut.reason);
    const timer = setTimeout(
      () => limit.abort(new PublishError(`the publisher took longer than ${timeoutMs} ms`)),
      timeoutMs,
    );
    // Not AbortSignal.any: in Node 20 each call would stay in the memory of a signal that lives as long as these.
    for (const signal of [over, cut]) signal.addEventListener('abort', abort, { once: true });
    if (over.aborted || cut.aborted) abort();
    try {
      await unlessAborted(limit.signal, () => this.#settings.publish(events, limit.signal));
      return { kind: 'published' };
    } catch (error) {
      over.throwIfAborted();
      return { kind: 'failed', error };
    } finally {
      clearTimeout(timer);
      for (const signal of [over, cut]) signal.removeEventListener('abort', abort);
    }
  }
}

/** Ends early, and well, when it is time to stop. */
export async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: stopping }).catch(() => {});
}

/** The work's outcome, or the signal's reason if that comes first; a publisher that does not listen is left behind. */
async function unlessAborted(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  await Promise.race([(async () => work())(), aborted]);
}
