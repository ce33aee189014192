/**
 * Notes in Postgres that a worker runs and which command types it knows, and reports commands that no running worker knows.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { findUnknownTypes, forgetWorker, HEARTBEAT_MS, noteWorker } from '../store/workers.ts';
import type { RunningWorker, UnknownType } from '../store/workers.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';

export interface WorkerPresenceOptions {
  pool: Pool;
  worker: RunningWorker;
  log: CommandLog;
}

/** Looking for unknown types may read many dead index entries. Only what has waited this long is reported. */
const LOOK_EVERY_MS = 60_000;
/** A sender can invent any number of types. */
const MOST_REPORTED = 20;
/** The same type is reported again after this time. */
const REPORT_AGAIN_MS = 15 * 60_000;

export class WorkerPresence {
  readonly #options: WorkerPresenceOptions;
  readonly #id = randomUUID();
  readonly #wakeup = new Wakeup();
  readonly #reportedAt = new Map<string, number>();
  #lookAt = performance.now() + LOOK_EVERY_MS;
  #stopped = false;

  constructor(options: WorkerPresenceOptions) {
    this.#options = options;
  }

  /** Works until {@link stop}. An unreachable Postgres does not end it. */
  async run(): Promise<void> {
    const { pool, worker, log } = this.#options;
    while (!this.#stopped) {
      await noteWorker(pool, this.#id, worker).catch((error: unknown) =>
        log.warn('the worker could not note in Postgres that it runs; trying again', { error }),
      );
      if (performance.now() >= this.#lookAt) await this.#look();
      await this.#wakeup.wait(HEARTBEAT_MS);
    }
    // A row that stays is not counted once it is half a minute old.
    await forgetWorker(pool, this.#id).catch(() => {});
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  async #look(): Promise<void> {
    const { pool, log } = this.#options;
    this.#lookAt = performance.now() + LOOK_EVERY_MS;
    try {
      for (const unknown of (await findUnknownTypes(pool)).slice(0, MOST_REPORTED)) this.#report(unknown);
    } catch (error) {
      log.warn('the worker could not look for commands that no worker knows; trying again', { error });
    }
  }

  #report({ commandType, count, oldestMs, example }: UnknownType): void {
    const last = this.#reportedAt.get(commandType);
    if (oldestMs < LOOK_EVERY_MS || (last !== undefined && performance.now() < last + REPORT_AGAIN_MS))
      return;
    this.#reportedAt.set(commandType, performance.now());
    this.#options.log.warn('no running worker knows this command type; its commands wait for one', {
      commandType,
      count,
      example,
    });
  }
}
