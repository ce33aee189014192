/**
 * Tells workers that something was sent: those in this process at once, all others by a NOTIFY of its own. A NOTIFY in the
 * sender's transaction would make its COMMIT wait for every other such COMMIT, one after the other with its write to disk.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import type { Queryable } from '../platform/queryable.ts';
import { wakeLocalWorkers } from './local-workers.ts';
import { wakeRelays } from '../store/inserts.ts';

/** Between two NOTIFYs, in ms: whoever is woken takes up all that is there. */
const INTERVAL_MS = 5;
/** Where a worker in this process hears of everything, the others are told that there may be more than it can take. */
const INTERVAL_BESIDE_WORKER_MS = 50;

export class WakeUpCall {
  readonly #db: Queryable;
  readonly #database: string;
  readonly #log: CommandLog;
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | null = null;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(db: Queryable, database: string, log: CommandLog) {
    this.#db = db;
    this.#database = database;
    this.#log = log;
  }

  /** After the COMMIT. Whoever is woken looks into the table; it may find nothing. */
  make(): void {
    const beside = wakeLocalWorkers(this.#database);
    if (this.#timer || this.#underWay) return this.#later();
    const interval = beside ? INTERVAL_BESIDE_WORKER_MS : INTERVAL_MS;
    if (performance.now() - this.#lastAt < interval) return this.#later(interval);
    return this.#notify();
  }

  /** Makes the call that is still to be made. */
  async close(): Promise<void> {
    if (this.#timer) this.#notify();
    await this.#underWay;
  }

  #later(ms = INTERVAL_MS): void {
    this.#timer ??= setTimeout(() => this.#notify(), ms);
  }

  #notify(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastAt = performance.now();
    this.#underWay = wakeRelays(this.#db)
      .catch((error: unknown) =>
        this.#log.debug('workers could not be told of what was sent; their next sweep finds it', { error }),
      )
      .finally(() => (this.#underWay = null));
  }
}
