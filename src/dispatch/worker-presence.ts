/**
 * Records that a worker is running and which command types it knows, and reports types that no running worker knows.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import {
  findUnknownTypes,
  hasOlderWorkers,
  removeWorker,
  HEARTBEAT_MS,
  noteWorker,
} from '../store/workers.ts';
import type { RunningWorker, UnknownType } from '../store/workers.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { Loop } from '../platform/loop.ts';
import type { LiveTypedWorkflows } from '../temporal/live-typed-workflows.ts';

export interface WorkerPresenceOptions {
  pool: Pool;
  worker: RunningWorker;
  /** Updated at each heartbeat. */
  typedWorkflows: LiveTypedWorkflows;
  log: CommandLog;
}

/**
 * The check for unknown types may read many dead index entries. A type is reported once its commands have waited this long.
 */
const CHECK_INTERVAL_MS = 60_000;
/** The most types that one check reports: a sender can invent any number of them. */
const MOST_REPORTED = 20;
/** How long to wait before the same type is reported again. */
const REPORT_AGAIN_MS = 15 * 60_000;

export class WorkerPresence implements Loop {
  readonly #options: WorkerPresenceOptions;
  readonly #id = randomUUID();
  readonly #wakeup = new Wakeup();
  readonly #reportedAt = new Map<string, number>();
  #nextCheckAt = performance.now() + CHECK_INTERVAL_MS;
  #stopped = false;

  constructor(options: WorkerPresenceOptions) {
    this.#options = options;
  }

  /** Runs until {@link stop}, even while Postgres is unreachable. */
  async run(): Promise<void> {
    const { pool, worker, typedWorkflows, log } = this.#options;
    while (!this.#stopped) {
      try {
        await noteWorker(pool, this.#id, worker);
        typedWorkflows.update(await hasOlderWorkers(pool, worker));
      } catch (error) {
        log.warn('the worker could not record in Postgres that it is running; trying again', { error });
      }
      if (performance.now() >= this.#nextCheckAt) await this.#checkTypes();
      await this.#wakeup.wait(HEARTBEAT_MS);
    }
    // If this fails, the row is ignored once it is 30 s old.
    await removeWorker(pool, this.#id).catch(() => {});
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  async #checkTypes(): Promise<void> {
    const { pool, log } = this.#options;
    this.#nextCheckAt = performance.now() + CHECK_INTERVAL_MS;
    try {
      for (const unknown of (await findUnknownTypes(pool)).slice(0, MOST_REPORTED)) this.#report(unknown);
    } catch (error) {
      log.warn('the worker could not check for command types that no worker knows; trying again', { error });
    }
  }

  #report({ commandType, count, oldestMs, example }: UnknownType): void {
    const last = this.#reportedAt.get(commandType);
    if (oldestMs < CHECK_INTERVAL_MS || (last !== undefined && performance.now() < last + REPORT_AGAIN_MS))
      return;
    this.#reportedAt.set(commandType, performance.now());
    this.#options.log.warn('no running worker knows this command type; its commands wait until one does', {
      commandType,
      count,
      example,
    });
  }
}
