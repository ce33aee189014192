/**
 * Checks that a running worker makes in Temporal every minute: its search attributes, and which other workers poll its task
 * queue.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { CommandLog } from '../core/command-log.ts';
import type { LiveSearchAttributes } from './live-search-attributes.ts';
import { describeIntruders, findPollers } from './task-queue-pollers.ts';
import { withinLimit } from './answer-limit.ts';
import type { WithDeadline } from './answer-limit.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { Loop } from '../platform/loop.ts';

export interface TemporalWatchOptions {
  connection: Pick<Connection, 'workflowService'> & WithDeadline;
  namespace: string;
  taskQueue: string;
  /** The id of this inbox. */
  inbox: string;
  attributes: LiveSearchAttributes;
  log: CommandLog;
  /** Defaults to one minute. */
  intervalMs?: number;
}

const INTERVAL_MS = 60_000;

export class TemporalWatch implements Loop {
  readonly #options: TemporalWatchOptions;
  readonly #wakeup = new Wakeup();
  #stopped = false;

  constructor(options: TemporalWatchOptions) {
    this.#options = options;
  }

  /** Runs until {@link stop} is called, even while Temporal is unavailable. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.#checkPollers();
      await this.#wakeup.wait(this.#options.intervalMs ?? INTERVAL_MS);
      if (!this.#stopped) await this.#options.attributes.look();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  async #checkPollers(): Promise<void> {
    const { connection, namespace, taskQueue, inbox, log } = this.#options;
    const find = () => findPollers(connection, namespace, taskQueue, inbox);
    try {
      const pollers = await withinLimit('the list of pollers', find, { client: connection });
      // During a rollout, workers of an older release count as strangers. They are no reason to warn every minute.
      const intruders = describeIntruders({ ...pollers, strangers: [] }, taskQueue);
      if (intruders) log.warn(intruders.problem, { remedy: intruders.remedy });
    } catch {
      // Commands don't depend on this check, and `inbox doctor` reports why the pollers cannot be listed.
    }
  }
}
