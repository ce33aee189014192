/**
 * Mends what was left behind: entries whose time has passed and whose workflow may be gone, because it was terminated,
 * cancelled, deleted or timed out, or because Temporal lost its data. It acts by ID: a start says whether the workflow
 * is there, and is the repair if it is not. Visibility, which may lag and lose, is not asked. The same for campaigns.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { startEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Starter } from '../temporal/start-workflow.ts';
import { startCampaignWorkflow } from '../temporal/signal-workflow.ts';
import { listRunningCampaigns } from '../store/campaigns.ts';
import { Floors } from './floors.ts';
import {
  noteWorkflowsStarted,
  OVERDUE_AFTER_MS,
  OVERDUE_KINDS,
  START_LEASE_MS,
  takeOverdueEntries,
} from '../store/dispatch.ts';
import type { EntryToStart, OverdueKind } from '../store/dispatch.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';

export interface ReconcilerOptions extends Starter {
  pool: Pool;
  log: CommandLog;
  /** The command types that this worker knows. */
  types: readonly string[];
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
/** An entry that was looked after and is overdue again waits for a look without floors. */
const FULL_LOOK_LIMITS = { minimumMs: DEFAULT_INTERVAL_MS, maximumMs: 60_000 };
/** Rows of these kinds are found once their time is this far in the past. */
const FOUND_AFTER_MS: Record<OverdueKind, number> = {
  processing: OVERDUE_AFTER_MS,
  failed: OVERDUE_AFTER_MS,
  handedOver: START_LEASE_MS,
};

export function createReconciler(options: ReconcilerOptions): Reconciler {
  return new OverdueReconciler(options);
}

class OverdueReconciler implements Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #wakeup = new Wakeup();
  readonly #floors: Record<OverdueKind, Floors> = {
    processing: new Floors(FULL_LOOK_LIMITS),
    failed: new Floors(FULL_LOOK_LIMITS),
    handedOver: new Floors(FULL_LOOK_LIMITS),
  };
  readonly #taken: TakenIds;
  #stopped = false;
  #campaignsAt = Number.NEGATIVE_INFINITY;
  mended = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      let isMore = false;
      for (const kind of OVERDUE_KINDS) isMore = (await this.#round(kind)) || isMore;
      await this.#lookAtCampaigns();
      if (!isMore) await this.#wakeup.wait(this.#options.intervalMs ?? DEFAULT_INTERVAL_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** Whether there may be more. */
  async #round(kind: OverdueKind): Promise<boolean> {
    const { pool, log, types } = this.#options;
    const floors = this.#floors[kind];
    const began = performance.now();
    const isFull = (type: string) => floors.isFullLookDue(type, began);
    // At least one row of every type.
    const shares = floors.ask(types, Math.max(BATCH, types.length), isFull, began);
    if (this.#stopped || shares.length === 0) return false;
    try {
      const { rows, lookedAt } = await takeOverdueEntries(pool, kind, shares);
      floors.fullLookEnded(shares, began, performance.now());
      floors.looked(shares, rows, lookedAt - FOUND_AFTER_MS[kind] / 1_000);
      await this.#startAll(rows);
      return types.some((type) => floors.hasBacklog(type));
    } catch (error) {
      // Leases run out, and a look without floors finds the entries again.
      log.warn('the reconciler could not read from Postgres; trying again', { error });
      return false;
    }
  }

  /** One start that fails keeps nothing from the others: its lease runs out, and it is found again. */
  async #startAll(entries: readonly EntryToStart[]): Promise<void> {
    if (entries.length === 0) return;
    const { pool, log } = this.#options;
    const outcomes = await Promise.allSettled(
      entries.map((entry) => withinStartLimit(entry.messageId, () => startEntry(this.#options, entry))),
    );
    const there = entries.filter((_, index) => outcomes[index]!.status === 'fulfilled');
    const failed = outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected' && !this.#taken.report(outcome.reason)
        ? [{ error: outcome.reason as unknown, ...entries[index]! }]
        : [],
    );
    if (failed.length > 0) {
      const { error, messageId } = failed[0]!;
      log.warn('workflows of overdue entries could not be started; trying again', {
        count: failed.length,
        messageId,
        error,
      });
    }
    await noteWorkflowsStarted(
      pool,
      there.map(({ messageId }) => messageId),
    );
    const restarted = outcomes.filter(
      (outcome) => outcome.status === 'fulfilled' && outcome.value !== 'running',
    );
    this.mended += restarted.length;
    if (restarted.length > 0)
      log.warn('workflows of overdue entries were gone and are started again', { count: restarted.length });
  }

  async #lookAtCampaigns(): Promise<void> {
    const { pool, log, campaignsEveryMs = CAMPAIGNS_EVERY_MS } = this.#options;
    if (this.#stopped || performance.now() < this.#campaignsAt + campaignsEveryMs) return;
    this.#campaignsAt = performance.now();
    try {
      for (const campaignId of await listRunningCampaigns(pool)) {
        await this.#mendCampaign(campaignId).catch((error: unknown) => {
          if (!this.#taken.report(error)) throw error;
        });
      }
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
