/**
 * The workers of this process, for senders of the same process: they hear of what was sent sooner than by a NOTIFY, and take a
 * command up with its insertion.
 *
 * @module
 */
import type { Entry, NewEntry } from '../store/entries.ts';

/** A place for a command that is just being sent. */
export interface ReservedSlot {
  /** How its entry is inserted: claimed for its first attempt, or leased for the start of its workflow. */
  readonly taken: 'claimed' | 'leased';
  /** It was inserted, and taken by that. */
  run(entry: Entry): void;
  /** It was not. */
  release(): void;
}

export interface LocalWorker {
  /** There is something in the table. */
  wake(): void;
  /** Null: it has to wait in the table like any other. */
  reserve(entry: NewEntry): ReservedSlot | null;
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

/** A place where this command may be taken up at once; null: nowhere. */
export function reserveLocally(database: string, entry: NewEntry): ReservedSlot | null {
  for (const worker of workers.get(database) ?? []) {
    const slot = worker.reserve(entry);
    if (slot) return slot;
  }
  return null;
}
