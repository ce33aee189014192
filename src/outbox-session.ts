/**
 * One connection of the outbox relay: waits for its turn, then publishes batch after batch.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { CommandLog } from './command.ts';
import { PublishError } from './errors.ts';
import type { Publish, PublishedEvent } from './publisher.ts';
import { backoffDelayMs } from './retry.ts';
import { findUnpublished, markPublished, tryLockOutbox } from './store/outbox.ts';

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
  /** The connection, and with it the lock, is gone. */
  lost: AbortSignal;
}

/** From 50 ms after a batch that was not full to 1 s while there is nothing. NOTIFY would serialise commits. */
const SHORTEST_POLL_MS = 50;
const LONGEST_POLL_MS = 1_000;
/** How soon another relay's end is noticed. */
const LOCK_POLL_MS = 1_000;
/** Of payloads in memory at once, compressed: events may have 1 MiB each. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;

/** What the relay does with one connection. */
export class OutboxSession {
  readonly #client: PoolClient;
  readonly #settings: RelaySettings;
  readonly #signals: RelaySignals;

  constructor(client: PoolClient, settings: RelaySettings, signals: RelaySignals) {
    this.#client = client;
    this.#settings = settings;
    this.#signals = signals;
  }

  /** Until it is stopped; throws what Postgres threw. */
  async run(): Promise<void> {
    if (!(await this.#takeTurn())) return;
    const { stopping } = this.#signals;
    const { log, batchSize } = this.#settings;
    log.info('outbox relay publishes');
    let size = batchSize;
    let failures = 0;
    let pollMs = SHORTEST_POLL_MS;
    while (!stopping.aborted) {
      const events = await findUnpublished(this.#client, size, MAX_BATCH_BYTES);
      if (events.length === 0) {
        await pause(pollMs, stopping);
        pollMs = Math.min(pollMs * 2, LONGEST_POLL_MS);
        continue;
      }
      pollMs = SHORTEST_POLL_MS;
      const failure = await this.#publish(events);
      if (failure === null) {
        await markPublished(this.#client, events);
        if (failures > 0) log.info('outbox relay publishes again');
        failures = 0;
        if (events.length < size) await pause(SHORTEST_POLL_MS, stopping);
        size = Math.min(size * 2, batchSize);
      } else if (!stopping.aborted) {
        failures += 1;
        // One event at a time until something gets through: what precedes the event at fault is not held back by it,
        // and the log comes to name it.
        size = 1;
        await this.#backOff(events, failures, failure.error);
      }
    }
  }

  /** Waits until no other relay publishes; false when this one was stopped before. */
  async #takeTurn(): Promise<boolean> {
    const { stopping } = this.#signals;
    while (!stopping.aborted) {
      if (await tryLockOutbox(this.#client)) return true;
      await pause(LOCK_POLL_MS, stopping);
    }
    return false;
  }

  /** Null, or why the publisher failed. Throws when the connection to Postgres ended meanwhile. */
  async #publish(events: readonly PublishedEvent[]): Promise<{ error: unknown } | null> {
    const { lost, cut } = this.#signals;
    const { publish, publishTimeoutMs } = this.#settings;
    const limit = new AbortController();
    const abort = () => limit.abort(lost.aborted ? lost.reason : cut.reason);
    const timer = setTimeout(
      () => limit.abort(new PublishError(`the publisher took longer than ${publishTimeoutMs} ms`)),
      publishTimeoutMs,
    );
    // Not AbortSignal.any: in Node 20 each call would stay in the memory of a signal that lives as long as these.
    for (const signal of [lost, cut]) signal.addEventListener('abort', abort, { once: true });
    if (lost.aborted || cut.aborted) abort();
    try {
      await unlessAborted(limit.signal, () => publish(events, limit.signal));
      return null;
    } catch (error) {
      if (lost.aborted) throw lost.reason;
      return { error };
    } finally {
      clearTimeout(timer);
      for (const signal of [lost, cut]) signal.removeEventListener('abort', abort);
    }
  }

  async #backOff(events: readonly PublishedEvent[], failures: number, error: unknown): Promise<void> {
    const delayMs = backoff(this.#settings, failures);
    this.#settings.log.warn('outbox relay could not publish, tries again', {
      eventId: events[0]!.id,
      events: events.length,
      failures,
      delayMs,
      error,
      problem: error instanceof PublishError ? error.message : undefined,
    });
    await pause(delayMs, this.#signals.stopping);
  }
}

/** From 200 ms, twice as long each time. */
export function backoff({ maximumBackoffMs }: RelaySettings, failures: number): number {
  const policy = { maximumAttempts: 0, initialIntervalMs: 200, backoffCoefficient: 2 };
  return backoffDelayMs({ ...policy, maximumIntervalMs: maximumBackoffMs }, failures);
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
