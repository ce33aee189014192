/**
 * What the outbox relay publishes next, and what becomes of an event that the publisher rejects: its aggregate is parked and
 * tried again later, while all others go on.
 *
 * A publisher that fails says nothing about which event is at fault, unless its error does. So after a failed batch, its events
 * are published one at a time. Where one fails and another goes through, the broker works and rejects the first: it is parked.
 * Where none goes through, the broker is away: nothing is parked, and the relay backs off as a whole.
 *
 * @module
 */
import type { CommandLog } from './command.ts';
import type { Queryable } from './database.ts';
import { PublishError } from './errors.ts';
import { OutboxFloor } from './outbox-floor.ts';
import type { PublishedEvent } from './publisher.ts';
import { backoffDelayMs } from './retry.ts';
import {
  findDueAggregates,
  parkAggregate,
  restoreParked,
  unparkAggregate,
  type ParkedAggregate,
} from './store/outbox-parked.ts';
import type { NextEvent } from './store/outbox.ts';
import { findHeads, findUnpublished, findWaiting, markParked, markPublished } from './store/outbox.ts';
import { limitBytes } from './text.ts';

export interface OutboxBatchesOptions {
  db: Queryable;
  /** Of the lease. */
  holder: string;
  batchSize: number;
  publishTimeoutMs: number;
  maximumBackoffMs: number;
  publish: (events: readonly PublishedEvent[], timeoutMs: number) => Promise<PublishOutcome>;
  isStopping: () => boolean;
  log: CommandLog;
}

/** What became of a call of the publisher. */
export type PublishOutcome = { kind: 'published' } | { kind: 'failed'; error: unknown };

export type Turn =
  | { kind: 'published'; isMore: boolean }
  | { kind: 'nothing' }
  /** Nothing goes through; wait this long. */
  | { kind: 'failed'; delayMs: number };

/** Of payloads in memory at once, compressed: events may have nearly 1 MiB each. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** A single event that takes longer than this counts as failed: it would hold all others up. */
const SINGLE_TIMEOUT_MS = 5_000;
/** So many single events fail, and none goes through, before the broker counts as away. */
const TRIES_WHILE_AWAY = 3;
/** When a parked aggregate is tried again: from 1 s, twice as long each time. */
const PARKED = {
  maximumAttempts: 0,
  initialIntervalMs: 1_000,
  backoffCoefficient: 2,
  maximumIntervalMs: 300_000,
};
const JITTER = 0.1;
/** Between two looks for parked aggregates that are due. */
const PARKED_EVERY_MS = 250;
const MAX_ERROR_BYTES = 2_000;

type Failure = { event: PublishedEvent; error: unknown };

export class OutboxBatches {
  readonly #options: OutboxBatchesOptions;
  readonly #floor = new OutboxFloor();
  /** Ids of events of a batch that failed, which are published one at a time. */
  #suspicious = new Set<string>();
  /** Aggregates that were tried in vain since something last went through, by key: the next time others are tried. */
  readonly #triedInVain = new Map<string, Failure>();
  #failures = 0;
  #lookForParkedAt = Number.NEGATIVE_INFINITY;
  #restored = false;

  constructor(options: OutboxBatchesOptions) {
    this.#options = options;
  }

  /** Publishes what is next: some of a parked aggregate that is due, and a batch of the others. */
  async turn(): Promise<Turn> {
    const retried = await this.#retryParked();
    const { db, holder, batchSize } = this.#options;
    const look = this.#floor.begin(performance.now());
    const events = await findUnpublished(
      db,
      holder,
      { events: batchSize, bytes: MAX_BATCH_BYTES },
      look.from,
    );
    const waiting = events.filter(({ waits }) => waits);
    if (waiting.length > 0) await markParked(db, holder, waiting);
    const ready = events.filter(({ waits }) => !waits).map(withoutMark);
    const failure = ready.length === 0 ? null : await this.#publish(ready);
    if (failure !== null) return failure;
    this.#floor.end(look, events, performance.now());
    if (events.length === 0) return retried ? { kind: 'published', isMore: true } : { kind: 'nothing' };
    return { kind: 'published', isMore: events.length === batchSize };
  }

  /** Null when every event is published or parked. */
  async #publish(ready: readonly PublishedEvent[]): Promise<Turn | null> {
    const { publish, publishTimeoutMs, isStopping } = this.#options;
    const isDoubtful = this.#failures > 0 || ready.some(({ id }) => this.#suspicious.has(id));
    if (!isDoubtful) {
      const outcome = await publish(ready, publishTimeoutMs);
      if (outcome.kind === 'published') {
        await this.#mark(ready);
        return null;
      }
      // A relay that was stopped has cut its batch off: that says nothing about the events.
      if (isStopping()) return { kind: 'nothing' };
      const named = await this.#parkNamed(ready, outcome.error);
      if (named) return { kind: 'published', isMore: true };
      this.#suspicious = new Set(ready.map(({ id }) => id));
    }
    return this.#oneAtATime(ready);
  }

  /** The publisher has said which events are rejected. */
  async #parkNamed(ready: readonly PublishedEvent[], error: unknown): Promise<boolean> {
    const rejected = new Set(error instanceof PublishError ? error.rejected : []);
    const failures = new Map<string, Failure>();
    for (const event of ready) {
      if (rejected.has(event.id) && !failures.has(keyOf(event))) failures.set(keyOf(event), { event, error });
    }
    await this.#park(failures, ready);
    return failures.size > 0;
  }

  async #oneAtATime(ready: readonly PublishedEvent[]): Promise<Turn | null> {
    const published: PublishedEvent[] = [];
    const failures = new Map<string, Failure>();
    // While nothing goes through, the first one and some of other aggregates show whether the broker is back.
    const mostInARow = this.#failures > 0 ? 1 : TRIES_WHILE_AWAY;
    let inARow = 0;
    for (const event of ready) {
      if (failures.has(keyOf(event))) continue;
      if (this.#options.isStopping() || inARow >= mostInARow) break;
      const error = await this.#tryOne(event);
      if (error === null) {
        published.push(event);
        inARow = 0;
      } else {
        failures.set(keyOf(event), { event, error: error.error });
        inARow += 1;
      }
    }
    if (published.length > 0) await this.#mark(published);
    if (failures.size === 0) {
      this.#triedInVain.clear();
      return null;
    }
    for (const event of published) this.#triedInVain.delete(keyOf(event));
    for (const [key, failure] of failures) this.#triedInVain.set(key, failure);
    const isAlive = published.length > 0 || (await this.#anotherGoesThrough());
    if (this.#options.isStopping()) return { kind: 'nothing' };
    if (!isAlive) return this.#backOff([...failures.values()][0]!);
    await this.#park(this.#triedInVain, ready);
    this.#triedInVain.clear();
    return { kind: 'published', isMore: true };
  }

  /** Null: it was published. */
  async #tryOne(event: PublishedEvent): Promise<{ error: unknown } | null> {
    const { publish, publishTimeoutMs } = this.#options;
    const outcome = await publish([event], Math.min(publishTimeoutMs, SINGLE_TIMEOUT_MS));
    return outcome.kind === 'published' ? null : { error: outcome.error };
  }

  /** Tries the first events of other aggregates: a success shows that the broker works. */
  async #anotherGoesThrough(): Promise<boolean> {
    const { db, isStopping } = this.#options;
    const tried = [...this.#triedInVain.values()].map(({ event }) => event);
    for (const event of await findHeads(db, tried, TRIES_WHILE_AWAY)) {
      if (isStopping()) return false;
      const error = await this.#tryOne(event);
      if (error === null) {
        await this.#mark([event]);
        return true;
      }
      this.#triedInVain.set(keyOf(event), { event, error: error.error });
    }
    return false;
  }

  async #mark(events: readonly PublishedEvent[]): Promise<void> {
    const { db, holder, log } = this.#options;
    await markPublished(db, holder, events);
    for (const { id } of events) this.#suspicious.delete(id);
    if (this.#failures > 0) log.info('outbox relay publishes again');
    this.#failures = 0;
  }

  async #park(failures: ReadonlyMap<string, Failure>, ready: readonly PublishedEvent[]): Promise<void> {
    if (failures.size === 0) return;
    const { db, holder } = this.#options;
    for (const failure of failures.values()) await this.#parkOne(failure, 1);
    const behind = ready.filter((event) => failures.has(keyOf(event)));
    const heads = [...failures.values()].map(({ event }) => event);
    await markParked(db, holder, [...behind, ...heads]);
    for (const { id } of behind) this.#suspicious.delete(id);
  }

  async #parkOne({ event, error }: Failure, tries: number): Promise<void> {
    const { db, holder, log } = this.#options;
    const delayMs = Math.round(backoffDelayMs(PARKED, tries) * (1 + JITTER * Math.random()));
    const { id: eventId, aggregateType, aggregateId } = event;
    const parked = { aggregateType, aggregateId, eventId, tries };
    await parkAggregate(db, holder, parked, { error: textOf(error), delayMs });
    log.warn('the publisher rejects an event; the events of its aggregate wait, all others go on', {
      eventId,
      aggregateType,
      tries,
      delayMs,
      error,
      problem: problemOf(error),
    });
  }

  /** Whether there was something to do. */
  async #retryParked(): Promise<boolean> {
    const { db, holder, batchSize } = this.#options;
    if (performance.now() < this.#lookForParkedAt) return false;
    if (!this.#restored) await restoreParked(db, holder);
    this.#restored = true;
    const [aggregate] = await findDueAggregates(db, 1);
    if (!aggregate) {
      this.#lookForParkedAt = performance.now() + PARKED_EVERY_MS;
      return false;
    }
    const limits = { events: batchSize, bytes: MAX_BATCH_BYTES };
    const events = await findWaiting(db, limits, aggregate.aggregateType, aggregate.aggregateId);
    if (events.length === 0) await unparkAggregate(db, holder, aggregate);
    else await this.#publishWaiting(aggregate, events);
    return true;
  }

  /** One at a time: any of them may be rejected like the first one. */
  async #publishWaiting(aggregate: ParkedAggregate, events: readonly PublishedEvent[]): Promise<void> {
    const published: PublishedEvent[] = [];
    let failure: Failure | null = null;
    for (const event of events) {
      if (this.#options.isStopping()) break;
      const error = await this.#tryOne(event);
      if (error !== null) {
        failure = { event, error: error.error };
        break;
      }
      published.push(event);
    }
    if (published.length > 0) await this.#mark(published);
    if (failure === null || this.#options.isStopping()) return;
    const isSame = failure.event.id === aggregate.eventId;
    // While nothing goes through, a try says nothing about the event.
    const more = this.#failures > 0 ? 0 : 1;
    await this.#parkOne(failure, isSame ? aggregate.tries + more : 1);
  }

  #backOff({ event, error }: Failure): Turn {
    const { maximumBackoffMs, log } = this.#options;
    this.#failures += 1;
    const delayMs = backoff(maximumBackoffMs, this.#failures);
    log.warn('outbox relay could not publish, tries again', {
      eventId: event.id,
      failures: this.#failures,
      delayMs,
      error,
      problem: problemOf(error),
    });
    return { kind: 'failed', delayMs };
  }
}

const keyOf = ({ aggregateType, aggregateId }: Pick<PublishedEvent, 'aggregateType' | 'aggregateId'>) =>
  JSON.stringify([aggregateType, aggregateId]);

const withoutMark = ({ waits: _waits, ...event }: NextEvent): PublishedEvent => event;

/** Of other errors the name alone: their messages may repeat what is in the event. */
const problemOf = (error: unknown): string | undefined =>
  error instanceof PublishError ? error.message : undefined;

function textOf(error: unknown): string {
  const name = error instanceof Error ? error.name : typeof error;
  return limitBytes(problemOf(error) ?? `${name}; the publisher's log says more`, MAX_ERROR_BYTES);
}

/** How long to wait after so many failures in a row: from 200 ms, twice as long each time. */
export function backoff(maximumBackoffMs: number, failures: number): number {
  const policy = { maximumAttempts: 0, initialIntervalMs: 200, backoffCoefficient: 2 };
  return backoffDelayMs({ ...policy, maximumIntervalMs: maximumBackoffMs }, failures);
}
