/**
 * Delivers batches to the publisher, and finds out what a failure means: an event that the broker rejects, or a broker that
 * takes nothing.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { PublishError } from '../core/errors.ts';
import type { PublishedEvent } from '../core/published-event.ts';

/** An event that was not published, and why. */
export interface Failed {
  event: PublishedEvent;
  error: unknown;
}

/** What one call of the publisher did. */
export type CallResult = { ok: true } | { ok: false; error: unknown; timedOut: boolean };

/** Never throws for what the publisher throws. */
export type Call = (events: readonly PublishedEvent[]) => Promise<CallResult>;

export interface Outcome {
  published: PublishedEvent[];
  /** The first rejected event of each aggregate. Later events of these aggregates were not published. */
  rejected: Failed[];
  /** The broker seems to be away: back off, and try what is left again. */
  failure: Failed | null;
}

/** What a publisher said about the events that it was given. */
export interface Verdicts {
  published: PublishedEvent[];
  rejected: Failed[];
}

/** Aggregates that are parked without proof that the broker is there, at most. */
const MOST_UNPROVEN = 3;
/** Failed runs before that is done. */
const RUNS_BEFORE_PARKING = 2;

const keys = new WeakMap<PublishedEvent, string>();

/** Identifies an event's aggregate, however long its id is: a hash, base64. */
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
 * Events fail alone only when the batch they are in fails and nobody says which of it. A single event that fails is rejected
 * if another one gets through; before that, the broker may be away. So each run without any success tries twice as many
 * aggregates as the one before, and then all of them fail together.
 */
export class Delivery {
  readonly #call: Call;
  /** Runs in a row without a success. */
  #failures = 0;
  #unproven = 0;
  #away = false;

  constructor(call: Call) {
    this.#call = call;
  }

  get failures(): number {
    return this.#failures;
  }

  /** The last run found a broker that takes nothing. */
  get away(): boolean {
    return this.#away;
  }

  /** An event got through elsewhere. */
  succeeded(): void {
    this.#failures = 0;
    this.#unproven = 0;
  }

  /** How many aggregates the next run tries alone before it calls the broker away. */
  get probes(): number {
    return 2 ** (this.#failures + 1);
  }

  async deliver(events: readonly PublishedEvent[], stopping: () => boolean): Promise<Outcome> {
    const outcome: Outcome = { published: [], rejected: [], failure: null };
    const suspects: Failed[] = [];
    const { probes } = this;
    let queue = [...events];
    let size = this.#failures > 0 ? 1 : queue.length;
    let grows = true;
    let answered = false;
    while (queue.length > 0 && outcome.failure === null && !stopping()) {
      const group = queue.slice(0, size);
      const result = await this.#call(group);
      if (result.ok) {
        outcome.published.push(...group);
        queue = queue.slice(group.length);
        answered = true;
        // After a timeout each further one costs as much: single events until the end of the batch.
        size = grows ? size * 2 : 1;
        continue;
      }
      const verdicts = verdictsOf(result.error, group);
      if (verdicts) {
        answered = true;
        outcome.published.push(...verdicts.published);
        outcome.rejected.push(...verdicts.rejected);
        queue = without(queue, verdicts);
      }
      if (isUnavailable(result.error)) outcome.failure = { event: group[0]!, error: result.error };
      else if (verdicts) continue;
      else if (group.length > 1) {
        size = 1;
        grows &&= !result.timedOut;
      } else {
        suspects.push({ event: group[0]!, error: result.error });
        queue = without(queue, { published: [], rejected: suspects });
        if (!answered && suspects.length >= probes) outcome.failure = suspects[0]!;
      }
    }
    if (!stopping()) this.#conclude(outcome, suspects, answered);
    return outcome;
  }

  #conclude(outcome: Outcome, suspects: Failed[], answered: boolean): void {
    if (answered) {
      outcome.rejected.push(...suspects);
      this.succeeded();
    } else if (outcome.failure === null && this.#mayPark(suspects.length)) {
      outcome.rejected.push(...suspects);
      this.#unproven += suspects.length;
    } else {
      outcome.failure ??= suspects[0]!;
    }
    this.#away = outcome.failure !== null;
    if (this.#away) this.#failures += 1;
  }

  /** So few that a broker which is away cannot park much, and an event alone in the outbox does not delay those to come. */
  #mayPark(count: number): boolean {
    return this.#failures >= RUNS_BEFORE_PARKING && this.#unproven + count <= MOST_UNPROVEN;
  }
}

/** What the error says about these events; null when it says nothing. */
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
    // What a publisher sent in spite of an earlier event's rejection comes again, in order.
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

/** The events that are neither published nor of an aggregate whose event was rejected. */
function without(events: readonly PublishedEvent[], { published, rejected }: Verdicts): PublishedEvent[] {
  const done = new Set(published.map(({ id }) => id));
  const stopped = new Set(rejected.map(({ event }) => aggregateKey(event)));
  return events.filter((event) => !done.has(event.id) && !stopped.has(aggregateKey(event)));
}

/** May be logged and stored: only a `PublishError` is known to contain nothing of what an event carries. */
export function problemOf(error: unknown): string {
  if (error instanceof PublishError) return error.message;
  return error instanceof Error ? error.name : typeof error;
}
