/**
 * Notifies workers of new entries: those in this process directly, all others by a NOTIFY in a separate transaction. A
 * NOTIFY in the sender's transaction would serialize all such COMMITs, each with its write to disk.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import type { Queryable } from '../platform/queryable.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { wakeRelays } from '../store/inserts.ts';

/** Minimum time between two NOTIFYs, in ms. A worker that is woken takes all entries it finds, so one NOTIFY covers many. */
const INTERVAL_MS = 5;
/** The same if a worker in this process was woken: the other workers are only needed if there is more than it can take. */
const INTERVAL_WITH_LOCAL_WORKER_MS = 50;

export class WorkerNotifier {
  readonly #db: Queryable;
  readonly #database: string;
  readonly #log: CommandLog;
  #timer: NodeJS.Timeout | undefined;
  #notifying: Promise<void> | null = null;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(db: Queryable, database: string, log: CommandLog) {
    this.#db = db;
    this.#database = database;
    this.#log = log;
  }

  /** Call this after the COMMIT. A worker that is woken reads the table, and may find nothing. */
  notifyWorkers(): void {
    const hasLocalWorker = wakeLocalWorkers(this.#database);
    if (this.#timer || this.#notifying) return this.#notifyLater();
    const interval = hasLocalWorker ? INTERVAL_WITH_LOCAL_WORKER_MS : INTERVAL_MS;
    if (performance.now() - this.#lastAt < interval) return this.#notifyLater(interval);
    return this.#notify();
  }

  /** Sends a NOTIFY that is still due. */
  async close(): Promise<void> {
    if (this.#timer) this.#notify();
    await this.#notifying;
  }

  #notifyLater(ms = INTERVAL_MS): void {
    this.#timer ??= setTimeout(() => this.#notify(), ms);
  }

  #notify(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastAt = performance.now();
    this.#notifying = wakeRelays(this.#db)
      .catch((error: unknown) =>
        this.#log.debug('could not notify workers of new entries; their next sweep finds them', { error }),
      )
      .finally(() => (this.#notifying = null));
  }
}
