/**
 * What takes events out of the outbox, and what it gets.
 *
 * @module
 */
import type { Json, JsonObject } from './json.ts';

/** An event that has been committed. */
export interface PublishedEvent {
  /** A uuid; the same whenever the event is published again, so consumers can tell repeats. */
  id: string;
  /** Grows from event to event of one aggregate; has gaps, and says nothing about two aggregates. */
  position: number;
  aggregateType: string;
  aggregateId: string;
  type: string;
  payload: Json;
  metadata: JsonObject;
  /** The command that emitted it. */
  messageId: string;
  /** The command's; null where it had none, or where its entry has been pruned. */
  correlationId: string | null;
  createdAt: Date;
}

/**
 * Resolves when the broker has stored every event, in this order as far as events of one aggregate are concerned. It must
 * end when the signal is aborted. It may be called while an earlier call has not returned, for events of other aggregates:
 * that is how the relay tries rejected events again without delaying the rest.
 *
 * When it throws a `PublishError` that says which events were rejected or published, the relay goes by that. Any other error
 * makes it publish smaller batches, down to single events, to find the one at fault.
 */
export type Publish = (events: readonly PublishedEvent[], signal: AbortSignal) => Promise<void>;

/** What the module given to `inbox worker --publish` exports as its default, unless it is the function alone. */
export interface Publisher {
  publish: Publish;
  /** Called once, after the last batch. */
  close?(): Promise<void>;
}
