/**
 * First attempts of express commands in this process: how many run, and what becomes of those that did not complete.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from './command.ts';
import { crashPoint } from './crash-points.ts';
import { startEntry } from './starter.ts';
import type { Starter } from './starter.ts';
import type { Entry } from './store/entries.ts';
import { noteWorkflowsStarted } from './store/starts.ts';

export interface ExpressLaneOptions extends Starter {
  /** The types of the commands that are express. */
  types: readonly string[];
  /** First attempts at the same time. */
  slots: number;
  /** Runs a claimed entry; `handOver` when it needs a workflow now. */
  attempt: (entry: Entry) => Promise<'settled' | 'handOver'>;
  pool: Pool;
  log: CommandLog;
}

export class ExpressLane {
  readonly types: readonly string[];
  readonly #options: ExpressLaneOptions;
  readonly #running = new Set<Promise<void>>();

  constructor(options: ExpressLaneOptions) {
    this.#options = options;
    this.types = options.types;
  }

  /**
   * How many entries to claim now. None while it is nearly full: a claim for each attempt that ends would cost as much as
   * the attempt.
   */
  get room(): number {
    if (this.types.length === 0) return 0;
    const free = this.#options.slots - this.#running.size;
    return free >= Math.ceil(this.#options.slots / 4) ? free : 0;
  }

  /** @param ended - called when its slot is free */
  run(entry: Entry, ended: () => void): void {
    const attempt = this.#run(entry).finally(() => {
      this.#running.delete(attempt);
      ended();
    });
    this.#running.add(attempt);
  }

  /** Waits for those that run. */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #run(entry: Entry): Promise<void> {
    const { attempt, log } = this.#options;
    const { messageId, commandType } = entry;
    try {
      if ((await attempt(entry)) === 'handOver') await this.#handOver(entry);
    } catch (error) {
      const problem =
        'an express attempt was cut off; the reconciler takes its command up within half a minute';
      log.warn(problem, { messageId, commandType, error });
    }
  }

  async #handOver(entry: Entry): Promise<void> {
    await crashPoint('before-hand-over', entry.messageId);
    await startEntry(this.#options, entry);
    await crashPoint('after-hand-over', entry.messageId);
    await noteWorkflowsStarted(this.#options.pool, [entry.messageId]);
  }
}
