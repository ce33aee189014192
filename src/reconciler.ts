/**
 * Mends what was left behind: entries whose time has passed and whose workflow may be gone, because it was terminated,
 * cancelled, deleted or timed out, or because Temporal lost its data. It acts by ID: a start says whether the workflow
 * is there, and is the repair if it is not. Visibility, which may lag and lose, is not asked. The same for campaigns.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from './command.ts';
import { startEntry, withinStartLimit } from './starter.ts';
import type { Starter } from './starter.ts';
import { startCampaignWorkflow } from './requests.ts';
import { listRunningCampaigns } from './store/campaigns.ts';
import { noteWorkflowsStarted, takeOverdueEntries } from './store/starts.ts';
import { Wakeup } from './wakeup.ts';

export interface ReconcilerOptions extends Starter {
  pool: Pool;
  log: CommandLog;
  /** Default 5 s. */
  intervalMs?: number;
  /** Between two looks at campaigns. Default 30 s. */
  campaignsEveryMs?: number;
}

export interface Reconciler {
  run(): Promise<void>;
  stop(): void;
  /** Workflows that it found missing and started again, since the process started. */
  readonly mended: number;
}

const DEFAULT_INTERVAL_MS = 5_000;
/** They are few, and each look asks Temporal for each that runs. */
const CAMPAIGNS_EVERY_MS = 30_000;
/** Of each kind in one round: a table full of overdue entries is worked off without a burst. */
const BATCH = 50;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  return new OverdueReconciler(options);
}

class OverdueReconciler implements Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #wakeup = new Wakeup();
  #stopped = false;
  #campaignsAt = Number.NEGATIVE_INFINITY;
  mended = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      const found = await this.#round();
      await this.#lookAtCampaigns();
      // A full batch means that there is more.
      if (found < BATCH) await this.#wakeup.wait(this.#options.intervalMs ?? DEFAULT_INTERVAL_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** How many entries were looked at. */
  async #round(): Promise<number> {
    const { pool, log } = this.#options;
    try {
      const entries = await takeOverdueEntries(pool, BATCH);
      const started = await Promise.all(
        entries.map((entry) => withinStartLimit(entry.messageId, () => startEntry(this.#options, entry))),
      );
      await noteWorkflowsStarted(
        pool,
        entries.map(({ messageId }) => messageId),
      );
      const mended = started.filter((how) => how !== 'running').length;
      this.mended += mended;
      if (mended > 0) log.warn('workflows of overdue entries were gone and are started again', { mended });
      return entries.length;
    } catch (error) {
      // The lease runs out, and the next round finds them again.
      log.warn('the reconciler could not do its round; trying again', { error });
      return 0;
    }
  }
  async #lookAtCampaigns(): Promise<void> {
    const { pool, log, campaignsEveryMs = CAMPAIGNS_EVERY_MS } = this.#options;
    if (this.#stopped || performance.now() < this.#campaignsAt + campaignsEveryMs) return;
    this.#campaignsAt = performance.now();
    try {
      for (const campaignId of await listRunningCampaigns(pool)) await this.#mendCampaign(campaignId);
    } catch (error) {
      log.warn('the reconciler could not look at campaigns; trying again', { error });
    }
  }

  async #mendCampaign(campaignId: string): Promise<void> {
    if (!(await withinStartLimit(campaignId, () => startCampaignWorkflow(this.#options, campaignId)))) return;
    this.mended += 1;
    this.#options.log.warn('the workflow of a campaign was gone and is started again', { campaignId });
  }
}
