/**
 * Gathers dead letters into alerts and starts a workflow for each alert. The first dead letter of a failure group is
 * announced immediately; later ones are gathered into one alert when the group's window is over. Runs in every worker that
 * has an alert channel. A lock in Postgres lets only one worker gather at a time, so that two workers don't create two
 * alerts for one group.
 *
 * If an alert's workflow was never started or was lost, the alert's lease expires and the workflow is started again by its
 * ID.
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
  tryLockForGathering,
} from '../store/alerts.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';
import type { Loop } from '../platform/loop.ts';

export interface AlertLoopOptions extends WorkflowOwner {
  pool: Pool;
  /** The channels that this worker can deliver to. */
  channels: readonly AlertChannel[];
  /** The minimum time between two alerts of one failure group. */
  windowMs: number;
  log: CommandLog;
}

/** How quickly the first dead letter of a group is announced. */
const INTERVAL_MS = 1_000;
/** The most workflows started in one round. */
const BATCH = 50;

/** Without a channel the loop does nothing: dead letters stay unalerted until a worker with a channel runs. */
export class AlertGatherer implements Loop {
  readonly #options: AlertLoopOptions;
  readonly #wakeup = new Wakeup();
  readonly #taken: TakenIds;
  #stopped = false;

  constructor(options: AlertLoopOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  async run(): Promise<void> {
    if (this.#options.channels.length === 0) return;
    while (!this.#stopped) {
      const hasMore = await this.#round();
      if (!hasMore) await this.#wakeup.wait(INTERVAL_MS);
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
      log.warn('could not gather alerts from Postgres; retrying', { error });
      return false;
    }
  }

  async #gather(): Promise<number> {
    const { pool, windowMs, channels } = this.#options;
    // Almost always false, and then it costs one lookup in an empty index.
    if (!(await hasUnalerted(pool))) return 0;
    return withTransaction(pool, async (tx) =>
      (await tryLockForGathering(tx)) ? gatherAlerts(tx, { windowMs, channels }) : 0,
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
          // The alert's lease expires, then its workflow is started again.
          if (this.#taken.report(error)) return;
          failed.push(alert.id);
          if (failed.length === 1) {
            this.#options.log.warn('could not start workflows for alerts; retrying', { error });
          }
        }
      }),
    );
    if (failed.length > 0) await releaseAlerts(this.#options.pool, failed);
    return failed.length === 0;
  }
}
