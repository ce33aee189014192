/**
 * Heartbeats of an ordinary activity. Without them, Temporal would notice a dead worker only when the activity times out.
 *
 * @module
 */
import { Context } from '@temporalio/activity';

/** Well below the heartbeat timeout that the workflow sets. */
const INTERVAL_MS = 2_000;

export async function withHeartbeat<T>(work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  const heartbeat = setInterval(() => context.heartbeat(), INTERVAL_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
  }
}
