/**
 * A publisher that always throws, with the events in its error message.
 *
 * @module
 */
import type { PublishedEvent } from '../../src/core/published-event.ts';

export default function publish(events: readonly PublishedEvent[]): Promise<void> {
  throw new RangeError(JSON.stringify(events));
}
