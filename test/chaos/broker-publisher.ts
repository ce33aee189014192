/**
 * Publishes to the broker of a chaos run, at `CHAOS_BROKER`.
 *
 * @module
 */
import { PublishError } from '../../src/index.ts';
import type { PublishedEvent } from '../../src/index.ts';

export default async function publish(events: readonly PublishedEvent[], signal: AbortSignal): Promise<void> {
  const answer = await fetch(process.env['CHAOS_BROKER']!, {
    method: 'POST',
    body: JSON.stringify(events),
    signal,
  });
  if (answer.ok) return;
  const said = (await answer.json()) as { rejected?: string[] };
  // A broker that says nothing about which event it was leaves that to the relay.
  if (!said.rejected) throw new Error(`the broker answered ${answer.status}`);
  const problem = 'this aggregate is refused';
  throw new PublishError(problem, { rejected: said.rejected.map((id) => ({ id, problem })) });
}
