/**
 * Repairs overdue entries whose workflow may be missing, because it was terminated, canceled, deleted or timed out, or
 * because Temporal lost its data. Starts the workflow under its ID: if the workflow exists, the start changes nothing; if it
 * is missing, the start is the repair. Temporal's visibility store is not used, because it can lag or miss workflows.
 * Campaigns are repaired the same way.
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
import { findInstruments } from '../telemetry/instruments.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { Loop } from '../platform/loop.ts';

export interface ReconcilerOptions extends Starter {
  pool: Pool;
  log: CommandLog;
  /** The command types that this worker knows. */
  types: readonly string[];
  /** Default 5 s. */
  intervalMs?: number;
  /** Interval between two checks of the campaigns. Default 30 s. */
  campaignsEveryMs?: number;
}

const DEFAULT_INTERVAL_MS = 5_000;
/** Campaigns are few, but each check asks Temporal about every running one. */
const CAMPAIGNS_EVERY_MS = 30_000;
/** Entries of each kind in one round, so that a table full of overdue entries is processed without a burst. */
const BATCH = 50;
/** A scan without floors finds an entry that was taken before and is overdue again. */
const FULL_SCAN_LIMITS = { minimumMs: DEFAULT_INTERVAL_MS, maximumMs: 60_000 };
/** Rows of these kinds are found once their time is this far in the past. */
const FOUND_AFTER_MS: Record<OverdueKind, number> = {
  processing: OVERDUE_AFTER_MS,
  failed: OVERDUE_AFTER_MS,
  handedOver: START_LEASE_MS,
};

export class Reconciler implements Loop {
  readonly #options: ReconcilerOptions;
  readonly #wakeup = new Wakeup();
  readonly #floors: Record<OverdueKind, Floors> = {
    processing: new Floors(FULL_SCAN_LIMITS),
    failed: new Floors(FULL_SCAN_LIMITS),
    handedOver: new Floors(FULL_SCAN_LIMITS),
  };
  readonly #taken: TakenIds;
  #stopped = false;
  #campaignsCheckedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      let hasMore = false;
      for (const kind of OVERDUE_KINDS) hasMore = (await this.#round(kind)) || hasMore;
      await this.#checkCampaigns();
      if (!hasMore) await this.#wakeup.wait(this.#options.intervalMs ?? DEFAULT_INTERVAL_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** Returns whether there may be more overdue entries of this kind. */
  async #round(kind: OverdueKind): Promise<boolean> {
    const { pool, log, types } = this.#options;
    const floors = this.#floors[kind];
    const began = performance.now();
    const isFull = (type: string) => floors.isFullScanDue(type, began);
    // At least one row for every type.
    const shares = floors.planScan(types, Math.max(BATCH, types.length), isFull, began);
    if (this.#stopped || shares.length === 0) return false;
    try {
      const { rows, lookedAt } = await takeOverdueEntries(pool, kind, shares);
      floors.noteFullScans(shares, began, performance.now());
      floors.noteScan(shares, rows, lookedAt - FOUND_AFTER_MS[kind] / 1_000);
      await this.#startAll(rows);
      return types.some((type) => floors.hasBacklog(type));
    } catch (error) {
      // Their leases expire, and a scan without floors finds the entries again.
      log.warn('the reconciler could not read from Postgres; trying again', { error });
      return false;
    }
  }

  /** A start that fails does not affect the others: its entry is found again when the lease has expired. */
  async #startAll(entries: readonly EntryToStart[]): Promise<void> {
    if (entries.length === 0) return;
    const { pool, log } = this.#options;
    const outcomes = await Promise.allSettled(
      entries.map((entry) => withinStartLimit(entry.messageId, () => startEntry(this.#options, entry))),
    );
    const running = entries.filter((_, index) => outcomes[index]!.status === 'fulfilled');
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
      running.map(({ messageId }) => messageId),
    );
    const restarted = outcomes.filter(
      (outcome) => outcome.status === 'fulfilled' && outcome.value !== 'running',
    );
    if (restarted.length === 0) return;
    findInstruments()?.reconciled.add(restarted.length, {});
    log.warn('missing workflows of overdue entries were restarted', { count: restarted.length });
  }

  async #checkCampaigns(): Promise<void> {
    const { pool, log, campaignsEveryMs = CAMPAIGNS_EVERY_MS } = this.#options;
    if (this.#stopped || performance.now() < this.#campaignsCheckedAt + campaignsEveryMs) return;
    this.#campaignsCheckedAt = performance.now();
    try {
      for (const campaignId of await listRunningCampaigns(pool)) {
        await this.#restartCampaign(campaignId).catch((error: unknown) => {
          if (!this.#taken.report(error)) throw error;
        });
      }
    } catch (error) {
      log.warn('the reconciler could not check the campaigns; trying again', { error });
    }
  }

  async #restartCampaign(campaignId: string): Promise<void> {
    if (!(await withinStartLimit(campaignId, () => startCampaignWorkflow(this.#options, campaignId)))) return;
    this.#options.log.warn('the missing workflow of a campaign was restarted', { campaignId });
  }
}
