/**
 * The interface of a publisher, and the events that it receives.
 *
 * @module
 */
import type { Json, JsonObject } from './json.ts';

/** An event from a committed transaction. */
export interface PublishedEvent {
  /** A uuid. It stays the same when the event is published again, so consumers can detect duplicates. */
  id: string;
  /** Increases from event to event of one aggregate, with gaps. Positions of different aggregates cannot be compared. */
  position: number;
  aggregateType: string;
  aggregateId: string;
  type: string;
  payload: Json;
  metadata: JsonObject;
  /** The command that emitted it. */
  messageId: string;
  /** The command's correlation id; null if it had none, or if its entry has been pruned. */
  correlationId: string | null;
  createdAt: Date;
}

/**
 * Publishes events. Resolves when the broker has stored all of them; the events of one aggregate must be stored in the given
 * order. It must stop when the signal is aborted. The relay may call it again before an earlier call has returned, for
 * events of other aggregates: it retries rejected events this way without delaying the rest.
 *
 * If it throws a `PublishError` that names the rejected or published events, the relay uses that information. After any
 * other error, the relay publishes smaller batches, down to single events, to find the event that causes the error.
 */
export type Publish = (events: readonly PublishedEvent[], signal: AbortSignal) => Promise<void>;

/** The default export of the module given to `inbox worker --publish`. The module may export the function alone instead. */
export interface Publisher {
  publish: Publish;
  /** Called once, after the last batch. */
  close?(): Promise<void>;
}
