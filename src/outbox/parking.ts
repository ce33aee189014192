/**
 * Parked aggregates: the broker rejected one of their events. All events of a parked aggregate wait, and its first event is
 * retried while the relay publishes the events of other aggregates.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { aggregateKey, isUnavailable, problemOf, verdictsOf } from './delivery.ts';
import type { Call, FailedEvent } from './delivery.ts';
import type { OutboxLease } from './lease.ts';
import type { PublishedEvent } from '../core/published-event.ts';
import { doublingDelayMs } from '../core/retry-policy.ts';
import { findParkedEvents, markPublished } from '../store/outbox.ts';
import type { BatchLimits } from '../store/outbox.ts';
import {
  unparkOrphans,
  findDueParked,
  moveToLanes,
  listParked,
  unparkAggregate,
  noteParkedFailure,
  parkAggregate,
  makeParkedDue,
} from '../store/outbox-parked.ts';
import type { ParkedAggregate } from '../store/outbox-parked.ts';

export interface ParkingOptions {
  pool: Pool;
  lease: OutboxLease;
  call: Call;
  limits: BatchLimits;
  /**
   * The longest delay between two attempts to publish a rejected event. The first delay is 1 s; each one doubles the last.
   */
  maximumBackoffMs: number;
  log: CommandLog;
  /** True when no further event should be tried. */
  stopping: () => boolean;
  /** Waits; ends early when the relay stops. */
  pause: (ms: number) => Promise<void>;
  /** Called when a parked event was published. */
  onSuccess: () => Promise<void>;
  /** Called when a retry ends: its aggregate may be ready to merge, and another retry can start. */
  onRetryEnd: () => void;
  /** Called with errors of Postgres, and when the lease is lost. */
  onError: (error: unknown) => void;
}

/** Concurrent calls to the publisher for parked events, so that one call that hangs doesn't delay all other retries. */
const MAX_CONCURRENT_RETRIES = 4;
/**
 * The pause after a failed retry. It limits failed retries to 40 per second, so that a thousand parked aggregates leave time
 * for the rest.
 */
const FAILED_RETRY_PAUSE_MS = 100;
const HOLD_BATCH_SIZE = 500;

export class Parking {
  readonly #options: ParkingOptions;
  /** Ids of the parked aggregates, by aggregate key. */
  readonly #parkedIds = new Map<string, string>();
  /** Ids of parked aggregates that are being retried or wait to be merged. */
  readonly #busy = new Set<string>();
  /** Aggregate keys by id, for parked aggregates whose events are all published. */
  readonly #recovered = new Map<string, string>();
  readonly #retries = new Set<Promise<void>>();

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  /** Reads the parked aggregates. Call it once, with the lease, before publishing anything. */
  async load(): Promise<void> {
    const { pool, lease } = this.#options;
    const { held, positions } = await lease.withoutRenewal(async () => {
      const adopted = await unparkOrphans(pool, lease.holder);
      for (const position of adopted.positions) lease.position = Math.min(lease.position, position - 1);
      return adopted;
    });
    lease.assertHeld(held);
    if (positions.length > 0) {
      this.#options.log.warn(
        'outbox relay found parked events whose aggregate is not parked; publishing them',
        {
          events: positions.length,
        },
      );
    }
    for (const { id, key } of await listParked(pool)) this.#parkedIds.set(key, id);
  }

  isParked(event: PublishedEvent): boolean {
    return this.#parkedIds.size > 0 && this.#parkedIds.has(aggregateKey(event));
  }

  /** Parks further events of parked aggregates. */
  async hold(events: readonly PublishedEvent[]): Promise<void> {
    const { pool, lease } = this.#options;
    for (let from = 0; from < events.length; from += HOLD_BATCH_SIZE) {
      const some = events.slice(from, from + HOLD_BATCH_SIZE);
      const ids = some.map(({ id }) => id);
      const parkedIds = some.map((event) => this.#parkedIds.get(aggregateKey(event))!);
      lease.assertHeld(await moveToLanes(pool, lease.holder, ids, parkedIds));
    }
  }

  /**
   * Parks the aggregate of a rejected event.
   *
   * @returns the events of the batch that were parked: the rejected one and the later ones of its aggregate
   */
  async park({ event, error }: FailedEvent, batch: readonly PublishedEvent[]): Promise<PublishedEvent[]> {
    const { pool, lease, log } = this.#options;
    const key = aggregateKey(event);
    const own = batch.filter((each) => aggregateKey(each) === key && each.position >= event.position);
    const problem = problemOf(error);
    const delayMs = this.#delay(1);
    const rejection = { key, eventId: event.id, error: problem, attempts: 1, delayMs };
    const ids = own.map(({ id }) => id);
    const parkedId = await parkAggregate(pool, lease.holder, rejection, ids);
    lease.assertHeld(parkedId !== null);
    this.#parkedIds.set(key, parkedId!);
    log.warn('outbox relay parked an aggregate: the broker rejected its next event', {
      eventId: event.id,
      type: event.type,
      delayMs,
      problem,
    });
    return own;
  }

  /**
   * Unparks aggregates whose parked events were published: their few remaining events are published with all others again.
   *
   * @param reopen - receives the positions of those events, lowers the position of the lease and returns whether there is
   *   room for more
   */
  async mergeRecovered(reopen: (positions: number[]) => boolean): Promise<void> {
    const { pool, lease } = this.#options;
    for (const [id, key] of this.#recovered) {
      const { merged, hasRoom } = await lease.withoutRenewal(async () => {
        const answer = await unparkAggregate(pool, lease.holder, id);
        return { merged: answer, hasRoom: reopen(answer.positions) };
      });
      lease.assertHeld(merged.held);
      this.#recovered.delete(id);
      this.#busy.delete(id);
      // Otherwise more events arrived in the meantime, and the next retry publishes them.
      if (merged.merged) this.#parkedIds.delete(key);
      if (!hasRoom) return;
    }
  }

  /** The broker is back: makes every parked aggregate whose retry failed within this time due immediately. */
  async revive(failedWithinMs: number): Promise<void> {
    const { pool, lease } = this.#options;
    lease.assertHeld(await makeParkedDue(pool, lease.holder, failedWithinMs));
  }

  /** Starts the retries of parked aggregates that are due. Returns before the retries end. */
  async startDue(): Promise<void> {
    const { pool, onRetryEnd, onError } = this.#options;
    const capacity = MAX_CONCURRENT_RETRIES - this.#retries.size;
    if (capacity <= 0 || this.#parkedIds.size === 0) return;
    for (const parked of await findDueParked(pool, capacity, [...this.#busy])) {
      this.#busy.add(parked.id);
      const started: Promise<void> = this.#retry(parked)
        .catch(onError)
        .finally(() => {
          this.#retries.delete(started);
          onRetryEnd();
        });
      this.#retries.add(started);
    }
  }

  /** Waits for the running retries. */
  async retriesEnded(): Promise<void> {
    await Promise.all(this.#retries);
  }

  /** Publishes one event, then twice as many each time, until no parked event is left or one fails. */
  async #retry(parked: ParkedAggregate): Promise<void> {
    const { pool, lease, call, limits, log, stopping, onSuccess } = this.#options;
    let above = -1;
    let size = 1;
    while (!stopping()) {
      const events = await findParkedEvents(pool, parked.id, above, { ...limits, events: size });
      if (events.length === 0) {
        this.#recovered.set(parked.id, parked.key);
        return;
      }
      lease.check();
      const result = await call(events);
      const verdicts = result.ok
        ? { published: events, rejected: [] }
        : (verdictsOf(result.error, events) ?? { published: [], rejected: [] });
      const { published } = verdicts;
      if (published.length > 0) {
        lease.assertHeld(
          await markPublished(
            pool,
            lease.holder,
            published.map(({ id }) => id),
          ),
        );
        if (above === -1) {
          log.info('outbox relay published a parked event', { eventId: published[0]!.id });
          await onSuccess();
        }
        above = published.at(-1)!.position;
      }
      if (result.ok) {
        size = Math.min(size * 2, limits.events);
        continue;
      }
      if (stopping()) break;
      const failed =
        verdicts.rejected[0] ?? (size === 1 ? { event: events[0]!, error: result.error } : undefined);
      size = 1;
      if (failed) {
        await this.#noteFailure(parked, failed, isUnavailable(result.error));
        break;
      }
    }
    this.#busy.delete(parked.id);
    await this.#options.pause(FAILED_RETRY_PAUSE_MS);
  }

  async #noteFailure(
    parked: ParkedAggregate,
    { event, error }: FailedEvent,
    unavailable: boolean,
  ): Promise<void> {
    const { pool, lease, log } = this.#options;
    const before = parked.eventId === event.id ? parked.attempts : 0;
    // While the broker is down, a failure says nothing about the event.
    const attempts = unavailable ? Math.max(before, 1) : before + 1;
    const delayMs = this.#delay(attempts);
    const failure = { eventId: event.id, error: problemOf(error), attempts, delayMs };
    lease.assertHeld(await noteParkedFailure(pool, lease.holder, parked.id, failure));
    log.debug('outbox relay retried a parked event, and it failed again', failure);
  }

  #delay(attempts: number): number {
    return doublingDelayMs(1_000, this.#options.maximumBackoffMs, attempts);
  }
}
