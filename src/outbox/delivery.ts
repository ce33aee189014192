/**
 * Delivers batches to the publisher and decides what a failure means: the broker rejects one event, or the broker is down
 * and accepts nothing.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { PublishError } from '../core/errors.ts';
import type { PublishedEvent } from '../core/published-event.ts';

/** An event that was not published, with the reason. */
export interface FailedEvent {
  event: PublishedEvent;
  error: unknown;
}

/** The result of one call to the publisher. */
export type CallResult = { ok: true } | { ok: false; error: unknown; timedOut: boolean };

/** Calls the publisher. Returns the publisher's errors in the result instead of throwing them. */
export type Call = (events: readonly PublishedEvent[]) => Promise<CallResult>;

export interface Outcome {
  published: PublishedEvent[];
  /** The first rejected event of each aggregate. Later events of the same aggregates were not published. */
  rejected: FailedEvent[];
  /** Set when the broker seems to be down: back off, then retry the remaining events. */
  failure: FailedEvent | null;
}

/** What the publisher reported about the events of one call. */
export interface Verdicts {
  published: PublishedEvent[];
  rejected: FailedEvent[];
}

/** The most aggregates that may be parked without proof that the broker is up. */
const MAX_UNPROVEN = 3;
/** The number of failed runs before any aggregate is parked without that proof. */
const RUNS_BEFORE_PARKING = 2;

const keys = new WeakMap<PublishedEvent, string>();

/** Identifies an event's aggregate by a base64 hash, so that the key is short even if the aggregate's id is long. */
export function aggregateKey(event: PublishedEvent): string {
  let key = keys.get(event);
  if (key === undefined) {
    const name = JSON.stringify([event.aggregateType, event.aggregateId]);
    key = createHash('sha256').update(name).digest('base64');
    keys.set(event, key);
  }
  return key;
}

/**
 * Sends batches. When a batch fails and the publisher doesn't say which event caused it, sends events one at a time. A
 * single event that fails counts as rejected only if another event gets through; until then, the broker may be down. Each
 * run without a success probes twice as many aggregates as the run before, then reports the broker as down.
 */
export class Delivery {
  readonly #call: Call;
  /** Consecutive runs without a success. */
  #failures = 0;
  /** Aggregates parked without proof that the broker is up. */
  #unproven = 0;
  #brokerDown = false;

  constructor(call: Call) {
    this.#call = call;
  }

  get failures(): number {
    return this.#failures;
  }

  /** True if the last run concluded that the broker accepts nothing. */
  get brokerDown(): boolean {
    return this.#brokerDown;
  }

  /** Resets the failure count. Also called when a parked event gets through outside a batch. */
  noteSuccess(): void {
    this.#failures = 0;
    this.#unproven = 0;
  }

  /** How many aggregates the next run tries one at a time before it concludes that the broker is down. */
  get probeLimit(): number {
    return 2 ** (this.#failures + 1);
  }

  async deliver(events: readonly PublishedEvent[], stopping: () => boolean): Promise<Outcome> {
    const outcome: Outcome = { published: [], rejected: [], failure: null };
    const suspects: FailedEvent[] = [];
    const { probeLimit } = this;
    let queue = [...events];
    let size = this.#failures > 0 ? 1 : queue.length;
    let mayGrow = true;
    let answered = false;
    while (queue.length > 0 && outcome.failure === null && !stopping()) {
      const group = queue.slice(0, size);
      const result = await this.#call(group);
      if (result.ok) {
        outcome.published.push(...group);
        queue = queue.slice(group.length);
        answered = true;
        // Each further timeout would cost just as much time, so after one, send single events until the end of the batch.
        size = mayGrow ? size * 2 : 1;
        continue;
      }
      const verdicts = verdictsOf(result.error, group);
      if (verdicts) {
        answered = true;
        outcome.published.push(...verdicts.published);
        outcome.rejected.push(...verdicts.rejected);
        queue = removeResolved(queue, verdicts);
      }
      if (isUnavailable(result.error)) outcome.failure = { event: group[0]!, error: result.error };
      else if (verdicts) continue;
      else if (group.length > 1) {
        size = 1;
        mayGrow &&= !result.timedOut;
      } else {
        suspects.push({ event: group[0]!, error: result.error });
        queue = removeResolved(queue, { published: [], rejected: suspects });
        if (!answered && suspects.length >= probeLimit) outcome.failure = suspects[0]!;
      }
    }
    if (!stopping()) this.#conclude(outcome, suspects, answered);
    return outcome;
  }

  #conclude(outcome: Outcome, suspects: FailedEvent[], answered: boolean): void {
    if (answered) {
      outcome.rejected.push(...suspects);
      this.noteSuccess();
    } else if (outcome.failure === null && this.#mayPark(suspects.length)) {
      outcome.rejected.push(...suspects);
      this.#unproven += suspects.length;
    } else {
      outcome.failure ??= suspects[0]!;
    }
    this.#brokerDown = outcome.failure !== null;
    if (this.#brokerDown) this.#failures += 1;
  }

  /**
   * Allows parking a few aggregates without proof that the broker is up, so that a rejected event that is alone in the
   * outbox doesn't delay later events. The limit keeps a broker outage from parking many aggregates.
   */
  #mayPark(count: number): boolean {
    return this.#failures >= RUNS_BEFORE_PARKING && this.#unproven + count <= MAX_UNPROVEN;
  }
}

/** Returns what the error says about these events; null if it says nothing about them. */
export function verdictsOf(error: unknown, events: readonly PublishedEvent[]): Verdicts | null {
  if (!(error instanceof PublishError)) return null;
  const problems = new Map(error.rejected.map(({ id, problem }) => [id, problem]));
  const stored = error.published === null ? null : new Set(error.published);
  if (problems.size === 0 && !stored?.size) return null;
  const verdicts: Verdicts = { published: [], rejected: [] };
  const stopped = new Set<string>();
  for (const event of events) {
    const key = aggregateKey(event);
    const problem = problems.get(event.id);
    // If the publisher sent later events of an aggregate despite the rejection, they are sent again, in order.
    if (stopped.has(key)) continue;
    if (problem !== undefined) {
      verdicts.rejected.push({ event, error: new PublishError(problem, { cause: error.cause }) });
    } else if (stored?.has(event.id) ?? problems.size > 0) {
      verdicts.published.push(event);
      continue;
    }
    stopped.add(key);
  }
  return verdicts.published.length + verdicts.rejected.length > 0 ? verdicts : null;
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof PublishError && error.unavailable;
}

/** Leaves out published events and all events of aggregates that have a rejected event. */
function removeResolved(
  events: readonly PublishedEvent[],
  { published, rejected }: Verdicts,
): PublishedEvent[] {
  const done = new Set(published.map(({ id }) => id));
  const stopped = new Set(rejected.map(({ event }) => aggregateKey(event)));
  return events.filter((event) => !done.has(event.id) && !stopped.has(aggregateKey(event)));
}

/**
 * Returns a text that is safe to log and store: only the messages of `PublishError` are known to contain no event data.
 */
export function problemOf(error: unknown): string {
  if (error instanceof PublishError) return error.message;
  return error instanceof Error ? error.name : typeof error;
}
