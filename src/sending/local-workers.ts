/**
 * The workers in this process. Senders in the same process wake them faster than a NOTIFY could, and can insert an entry
 * that is already claimed or leased for one of them.
 *
 * @module
 */
import type { Entry, NewEntry } from '../store/entries.ts';

/** A worker's slot that is reserved for a command while it is being sent. */
export interface ReservedSlot {
  /** How the entry is inserted: claimed for its first attempt, or leased for the start of its workflow. */
  readonly taken: 'claimed' | 'leased';
  /** Call this after the entry was inserted as claimed or leased. */
  run(entry: Entry): void;
  /** Call this if the entry was not inserted. */
  release(): void;
}

export interface LocalWorker {
  /** The table may contain new entries. */
  wake(): void;
  /** Null if there is no slot: the entry then waits in the table like any other. */
  reserve(entry: NewEntry): ReservedSlot | null;
}

/** By database, because a process may have senders and workers of several databases. */
const workers = new Map<string, Set<LocalWorker>>();

/** Returns a function that unregisters the worker. */
export function registerLocalWorker(database: string, worker: LocalWorker): () => void {
  const localWorkers = workers.get(database) ?? new Set();
  workers.set(database, localWorkers.add(worker));
  return () => localWorkers.delete(worker);
}

/** Returns whether there was a worker to wake. */
export function wakeLocalWorkers(database: string): boolean {
  const localWorkers = workers.get(database) ?? new Set();
  for (const worker of localWorkers) worker.wake();
  return localWorkers.size > 0;
}

/** Reserves a slot for this command in a worker of this process. Null if there is none. */
export function reserveLocally(database: string, entry: NewEntry): ReservedSlot | null {
  for (const worker of workers.get(database) ?? []) {
    const slot = worker.reserve(entry);
    if (slot) return slot;
  }
  return null;
}
