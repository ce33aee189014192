/**
 * The workers of this process, for senders of the same process: they hear of what was sent sooner than by a NOTIFY, and take
 * an express command up with its insertion.
 *
 * @module
 */
import type { ExpressLane, ReservedSlot } from './express-lane.ts';

export interface LocalWorker {
  /** There is something in the table. */
  wake(): void;
  express: Pick<ExpressLane, 'reserve'>;
}

/** By database: a process may have senders and workers of several. */
const workers = new Map<string, Set<LocalWorker>>();

/** Returns how to leave. */
export function joinProcess(database: string, worker: LocalWorker): () => void {
  const there = workers.get(database) ?? new Set();
  workers.set(database, there.add(worker));
  return () => there.delete(worker);
}

/** Whether there was anybody to wake. */
export function wakeLocalWorkers(database: string): boolean {
  const there = workers.get(database) ?? new Set();
  for (const worker of there) worker.wake();
  return there.size > 0;
}

/** A place where a command of this type may run at once; null: nowhere. */
export function reserveLocally(database: string, commandType: string): ReservedSlot | null {
  for (const { express } of workers.get(database) ?? []) {
    const slot = express.reserve(commandType);
    if (slot) return slot;
  }
  return null;
}
