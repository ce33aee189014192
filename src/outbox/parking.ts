/**
 * Aggregates of which the broker rejected an event: their events wait in lanes of their own, and the first of each lane is
 * tried again, beside the others.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { aggregateKey, isUnavailable, problemOf, verdictsOf } from './delivery.ts';
import type { Call, Failed } from './delivery.ts';
import type { OutboxLease } from './lease.ts';
import type { PublishedEvent } from '../core/published-event.ts';
import { backoffDelayMs } from '../core/retry-policy.ts';
import { findParkedEvents, markPublished } from '../store/outbox.ts';
import type { BatchLimits } from '../store/outbox.ts';
import {
  adoptOrphans,
  findDueParked,
  holdBehind,
  listParked,
  mergeLane,
  noteParkedFailure,
  parkAggregate,
  reviveParked,
} from '../store/outbox-parked.ts';
import type { ParkedAggregate } from '../store/outbox-parked.ts';

export interface ParkingOptions {
  pool: Pool;
  lease: OutboxLease;
  call: Call;
  limits: BatchLimits;
  /** The longest wait between two tries of a rejected event; the first is 1 s, each further one twice the last. */
  maximumBackoffMs: number;
  log: CommandLog;
  /** No further event is to be tried. */
  stopping: () => boolean;
  /** Waits, and ends early when it is time to stop. */
  pause: (ms: number) => Promise<void>;
  /** A parked event got through. */
  onSuccess: () => Promise<void>;
  /** A try has ended: there may be something to merge, and room for another one. */
  onEnd: () => void;
  /** For what Postgres throws, and a lost lease. */
  onError: (error: unknown) => void;
}

/** Calls of the publisher for parked events at the same time, so that one that hangs does not delay the tries of all others. */
const MOST_TRIES_AT_ONCE = 4;
/** After a try that failed, so that a thousand parked aggregates leave time for the others: at most 40 such tries a second. */
const FAILED_TRY_PAUSE_MS = 100;
const HOLD_AT_ONCE = 500;

export class Parking {
  readonly #options: ParkingOptions;
  /** Ids of lanes, by the keys of their aggregates. */
  readonly #lanes = new Map<string, string>();
  /** Lanes that are being tried, or wait to be merged. */
  readonly #busy = new Set<string>();
  /** Lanes that were published to their end, with the keys of their aggregates. */
  readonly #recovered = new Map<string, string>();
  readonly #tries = new Set<Promise<void>>();

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  /** Reads what is parked. To be called once, with the lease, before anything is published. */
  async load(): Promise<void> {
    const { pool, lease } = this.#options;
    const { held, positions } = await lease.withoutRenewal(async () => {
      const adopted = await adoptOrphans(pool, lease.holder);
      for (const position of adopted.positions) lease.position = Math.min(lease.position, position - 1);
      return adopted;
    });
    lease.expect(held);
    if (positions.length > 0) {
      this.#options.log.warn('outbox relay found parked events of no parked aggregate, publishes them', {
        events: positions.length,
      });
    }
    for (const { id, key } of await listParked(pool)) this.#lanes.set(key, id);
  }

  isParked(event: PublishedEvent): boolean {
    return this.#lanes.size > 0 && this.#lanes.has(aggregateKey(event));
  }

  /** Lets events of parked aggregates wait in their lanes. */
  async hold(events: readonly PublishedEvent[]): Promise<void> {
    const { pool, lease } = this.#options;
    for (let from = 0; from < events.length; from += HOLD_AT_ONCE) {
      const some = events.slice(from, from + HOLD_AT_ONCE);
      const ids = some.map(({ id }) => id);
      const lanes = some.map((event) => this.#lanes.get(aggregateKey(event))!);
      lease.expect(await holdBehind(pool, lease.holder, ids, lanes));
    }
  }

  /** Parks the aggregate of a rejected event, with the events that were read behind it. */
  async park({ event, error }: Failed, batch: readonly PublishedEvent[]): Promise<PublishedEvent[]> {
    const { pool, lease, log } = this.#options;
    const key = aggregateKey(event);
    const own = batch.filter((each) => aggregateKey(each) === key && each.position >= event.position);
    const problem = problemOf(error);
    const delayMs = this.#delay(1);
    const rejection = { key, eventId: event.id, error: problem, attempts: 1, delayMs };
    const ids = own.map(({ id }) => id);
    const lane = await parkAggregate(pool, lease.holder, rejection, ids);
    lease.expect(lane !== null);
    this.#lanes.set(key, lane!);
    log.warn('outbox relay parked an aggregate: the broker rejects its next event', {
      eventId: event.id,
      type: event.type,
      delayMs,
      problem,
    });
    return own;
  }

  /**
   * Gives what is left of lanes that were published back to the others.
   *
   * @param reopen - gets the positions of those events, lowers the position of the lease, and says whether there is room for more
   */
  async mergeRecovered(reopen: (positions: number[]) => boolean): Promise<void> {
    const { pool, lease } = this.#options;
    for (const [id, key] of this.#recovered) {
      const { merged, hasRoom } = await lease.withoutRenewal(async () => {
        const answer = await mergeLane(pool, lease.holder, id);
        return { merged: answer, hasRoom: reopen(answer.positions) };
      });
      lease.expect(merged.held);
      this.#recovered.delete(id);
      this.#busy.delete(id);
      // Otherwise more came meanwhile, and the next try goes on with them.
      if (merged.merged) this.#lanes.delete(key);
      if (!hasRoom) return;
    }
  }

  /** The broker is back: what failed in that time is due at once. */
  async revive(failedWithinMs: number): Promise<void> {
    const { pool, lease } = this.#options;
    lease.expect(await reviveParked(pool, lease.holder, failedWithinMs));
  }

  /** Starts to try again what is due. The tries go on after this. */
  async startDue(): Promise<void> {
    const { pool, onEnd, onError } = this.#options;
    const free = MOST_TRIES_AT_ONCE - this.#tries.size;
    if (free <= 0 || this.#lanes.size === 0) return;
    for (const lane of await findDueParked(pool, free, [...this.#busy])) {
      this.#busy.add(lane.id);
      const started: Promise<void> = this.#publishLane(lane)
        .catch(onError)
        .finally(() => {
          this.#tries.delete(started);
          onEnd();
        });
      this.#tries.add(started);
    }
  }

  /** Waits for the tries that are under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#tries);
  }

  /** One event, then twice as many each time, until the lane is empty or an event fails. */
  async #publishLane(lane: ParkedAggregate): Promise<void> {
    const { pool, lease, call, limits, log, stopping, onSuccess } = this.#options;
    let above = -1;
    let size = 1;
    while (!stopping()) {
      const events = await findParkedEvents(pool, lane.id, above, { ...limits, events: size });
      if (events.length === 0) {
        this.#recovered.set(lane.id, lane.key);
        return;
      }
      lease.check();
      const result = await call(events);
      const verdicts = result.ok
        ? { published: events, rejected: [] }
        : (verdictsOf(result.error, events) ?? { published: [], rejected: [] });
      const { published } = verdicts;
      if (published.length > 0) {
        lease.expect(
          await markPublished(
            pool,
            lease.holder,
            published.map(({ id }) => id),
          ),
        );
        if (above === -1) {
          log.info('outbox relay publishes a parked event', { eventId: published[0]!.id });
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
        await this.#noteFailure(lane, failed, isUnavailable(result.error));
        break;
      }
    }
    this.#busy.delete(lane.id);
    await this.#options.pause(FAILED_TRY_PAUSE_MS);
  }

  async #noteFailure(lane: ParkedAggregate, { event, error }: Failed, unavailable: boolean): Promise<void> {
    const { pool, lease, log } = this.#options;
    const before = lane.eventId === event.id ? lane.attempts : 0;
    // A broker that is away says nothing about the event.
    const attempts = unavailable ? Math.max(before, 1) : before + 1;
    const delayMs = this.#delay(attempts);
    const failure = { eventId: event.id, error: problemOf(error), attempts, delayMs };
    lease.expect(await noteParkedFailure(pool, lease.holder, lane.id, failure));
    log.debug('outbox relay tried a parked event again, and the broker rejects it', failure);
  }

  #delay(attempts: number): number {
    const { maximumBackoffMs } = this.#options;
    const policy = { maximumAttempts: 0, initialIntervalMs: 1_000, backoffCoefficient: 2 };
    return backoffDelayMs({ ...policy, maximumIntervalMs: maximumBackoffMs }, attempts);
  }
}
