/**
 * Publishes events to the broker of a chaos run, whose URL is in `CHAOS_BROKER`.
 *
 * @module
 */
import { PublishError } from '../../src/index.ts';
import type { PublishedEvent } from '../../src/core/published-event.ts';

export default async function publish(events: readonly PublishedEvent[], signal: AbortSignal): Promise<void> {
  const answer = await fetch(process.env['CHAOS_BROKER']!, {
    method: 'POST',
    body: JSON.stringify(events),
    signal,
  });
  if (answer.ok) return;
  const { rejected } = (await answer.json()) as { rejected?: string[] };
  // If the broker does not say which event it rejected, the relay has to find out.
  if (!rejected) throw new Error(`the broker answered ${answer.status}`);
  const problem = 'the broker refuses this aggregate';
  throw new PublishError(problem, { rejected: rejected.map((id) => ({ id, problem })) });
}
