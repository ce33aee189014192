/**
 * Whether a running worker may start workflows that have the type of their command. It may not while a worker of an earlier
 * release, which cannot run them, polls the same task queue, as during a rolling deploy.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import type { TypedWorkflows } from './command-workflow.ts';

export class LiveTypedWorkflows implements TypedWorkflows {
  readonly #log: CommandLog;
  #usable: boolean;

  constructor(hasOlderWorkers: boolean, log: CommandLog) {
    this.#log = log;
    this.#usable = !hasOlderWorkers;
    if (hasOlderWorkers) this.#logOlder();
  }

  get usable(): boolean {
    return this.#usable;
  }

  /** Call this after each look at `inbox.workers`. */
  update(hasOlderWorkers: boolean): void {
    if (this.#usable === !hasOlderWorkers) return;
    this.#usable = !hasOlderWorkers;
    if (hasOlderWorkers) this.#logOlder();
    else this.#log.info("new workflows have their command's type again");
  }

  #logOlder(): void {
    this.#log.info(
      'workflows are started as handleCommand while a worker of an earlier release polls this task queue',
    );
  }
}
