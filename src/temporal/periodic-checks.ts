/**
 * What a running worker looks at in Temporal every minute: its search attributes, and who else polls its task queue.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { CommandLog } from '../core/command-log.ts';
import type { LiveAttributes } from './live-search-attributes.ts';
import { describeIntruders, findPollers } from './task-queue-pollers.ts';
import { withinLimit } from '../platform/deadline.ts';
import type { WithDeadline } from '../platform/deadline.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';

export interface TemporalWatchOptions {
  connection: Pick<Connection, 'workflowService'> & WithDeadline;
  namespace: string;
  taskQueue: string;
  /** The id of this inbox. */
  inbox: string;
  attributes: LiveAttributes;
  log: CommandLog;
  /** Default a minute. */
  intervalMs?: number;
}

const INTERVAL_MS = 60_000;

export class TemporalWatch {
  readonly #options: TemporalWatchOptions;
  readonly #wakeup = new Wakeup();
  #stopped = false;

  constructor(options: TemporalWatchOptions) {
    this.#options = options;
  }

  /** Works until {@link stop}. Temporal being away does not end it. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.#lookAtPollers();
      await this.#wakeup.wait(this.#options.intervalMs ?? INTERVAL_MS);
      if (!this.#stopped) await this.#options.attributes.look();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  async #lookAtPollers(): Promise<void> {
    const { connection, namespace, taskQueue, inbox, log } = this.#options;
    const look = () => findPollers(connection, namespace, taskQueue, inbox);
    try {
      const pollers = await withinLimit('the list of pollers', look, { client: connection });
      // An older release during a rollout is no reason to warn every minute.
      const intruders = describeIntruders({ ...pollers, strangers: [] }, taskQueue);
      if (intruders) log.warn(intruders.problem, { remedy: intruders.remedy });
    } catch {
      // Commands do not depend on it, and `inbox doctor` says why it cannot look.
    }
  }
}
