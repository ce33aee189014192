/**
 * Gathers dead letters into alerts, and starts a workflow for each: the first of a failure group at once, further ones
 * together when the window of that group is over. Runs in every worker that can tell somebody; a lock in Postgres lets
 * them take turns, so that two do not make two alerts of one group.
 *
 * An alert whose workflow was never started, or was lost, is found by its lease, and started again by its ID.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { AlertChannel } from '../core/alert.ts';
import type { CommandLog } from '../core/command-log.ts';
import { crashPoint } from '../platform/crash-points.ts';
import { withTransaction } from '../platform/postgres.ts';
import { startAlertWorkflow } from '../temporal/signal-workflow.ts';
import type { AlertToStart } from '../store/alerts.ts';
import {
  gatherAlerts,
  GATHER_LIMIT,
  hasUnalerted,
  releaseAlerts,
  takeAlertsToStart,
  tryTurnToGather,
} from '../store/alerts.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';

export interface AlertLoopOptions extends WorkflowOwner {
  pool: Pool;
  /** Whom this worker can tell. */
  channels: readonly AlertChannel[];
  /** Since a group's last alert. */
  windowMs: number;
  log: CommandLog;
}

export interface AlertLoop {
  run(): Promise<void>;
  stop(): void;
}

/** So soon is a first dead letter told. */
const INTERVAL_MS = 1_000;
/** Started in one round. */
const BATCH = 50;

/** Without anybody to tell there is nothing to do: dead letters stay unalerted until somebody is. */
export function createAlertLoop(options: AlertLoopOptions): AlertLoop {
  return options.channels.length === 0 ? { run: async () => {}, stop() {} } : new GatheringLoop(options);
}

class GatheringLoop implements AlertLoop {
  readonly #options: AlertLoopOptions;
  readonly #wakeup = new Wakeup();
  readonly #taken: TakenIds;
  #stopped = false;

  constructor(options: AlertLoopOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      const isMore = await this.#round();
      if (!isMore) await this.#wakeup.wait(INTERVAL_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  async #round(): Promise<boolean> {
    const { pool, log } = this.#options;
    try {
      const gathered = await this.#gather();
      const alerts = await takeAlertsToStart(pool, BATCH);
      const allStarted = await this.#startAll(alerts);
      return allStarted && (gathered === GATHER_LIMIT || alerts.length === BATCH);
    } catch (error) {
      log.warn('alerts could not be gathered from Postgres; trying again', { error });
      return false;
    }
  }

  async #gather(): Promise<number> {
    const { pool, windowMs, channels } = this.#options;
    // Nearly always the answer is no, and costs one look into an empty index.
    if (!(await hasUnalerted(pool))) return 0;
    return withTransaction(pool, async (tx) =>
      (await tryTurnToGather(tx)) ? gatherAlerts(tx, { windowMs, channels }) : 0,
    );
  }

  async #startAll(alerts: readonly AlertToStart[]): Promise<boolean> {
    const failed: string[] = [];
    await Promise.all(
      alerts.map(async (alert) => {
        try {
          await crashPoint('alert-before-start', alert.messageIds[0] ?? '');
          await startAlertWorkflow(this.#options, alert);
          await crashPoint('alert-after-start', alert.messageIds[0] ?? '');
        } catch (error) {
          // Its lease runs out, and it is tried again.
          if (this.#taken.report(error)) return;
          failed.push(alert.id);
          if (failed.length === 1) {
            this.#options.log.warn('workflows of alerts could not be started; trying again', { error });
          }
        }
      }),
    );
    if (failed.length > 0) await releaseAlerts(this.#options.pool, failed);
    return failed.length === 0;
  }
}
