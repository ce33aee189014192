/**
 * Moves committed Pending entries on: starts a workflow for each, or runs the first attempt of an express command. Runs
 * inside the worker process, so that the starts are eager: the first workflow task comes back with the response, and this
 * process runs it immediately.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { crashPoint } from '../platform/crash-points.ts';
import type { ExpressRunner } from './express-runner.ts';
import { listen } from '../store/notification-listener.ts';
import { registerLocalWorker } from '../sending/local-workers.ts';
import type { ReservedSlot } from '../sending/local-workers.ts';
import { startEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Started, Starter } from '../temporal/start-workflow.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import { PENDING_CHANNEL } from '../store/inserts.ts';
import { Floors } from './floors.ts';
import type { TypeShare } from '../store/dispatch.ts';
import { releasePendingEntries, takePendingEntries } from '../store/dispatch.ts';
import type { EntryToStart, Look } from '../store/dispatch.ts';
import { typeLabel } from '../telemetry/bounded-labels.ts';
import { findInstruments } from '../telemetry/instruments.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import type { Capacity, TypeSlots } from './type-slots.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { Loop } from '../platform/loop.ts';

export interface RelayOptions extends Starter {
  pool: Pool;
  /** For LISTEN. Null means the connection settings of the pool. */
  directUrl?: string | null | undefined;
  /**
   * One slot for each first attempt in this process. The relay starts no more workflows than there are slots, because
   * further ones would go through the task queue: starting a whole burst at once ran at a third of the rate, with seconds of
   * latency.
   */
  slots: TypeSlots;
  /** The command types that this worker knows and starts a workflow for. */
  workflowTypes: readonly string[];
  express: ExpressRunner;
  /** Identifies the database: see {@link identifyDatabase}. */
  database: string;
  log: CommandLog;
}

/** Polling is the safety net. NOTIFY is faster, but a notification can be lost. */
const SWEEP_INTERVAL_MS = 1_000;
/** If another worker runs the started workflow, no attempt starts here, and the slot is freed after this time. */
const SLOT_LEASE_MS = 10_000;
/** The same for a workflow that was not started eagerly, which any worker of the task queue may run. */
const QUEUED_SLOT_LEASE_MS = 1_000;
const MAX_BATCH = 200;
/**
 * Minimum time between two scans while the express slots are nearly full, so that not every attempt that ends causes a scan.
 */
const NEARLY_FULL_PAUSE_MS = 10;
/** A scan without floors finds rows that were committed late. */
const FULL_SCAN_LIMITS = { minimumMs: SWEEP_INTERVAL_MS, maximumMs: 10_000 };

export class Relay implements Loop {
  readonly #options: RelayOptions;
  readonly #types: readonly string[];
  readonly #wakeup = new Wakeup();
  readonly #floors = new Floors(FULL_SCAN_LIMITS);
  /** Something was committed since the last scan began. */
  #notified = false;
  /** Types that have not been scanned since a commit was announced. */
  readonly #hinted = new Set<string>();
  /** Messages whose first attempt runs here or is about to, with the time when their slot is freed. */
  readonly #slotHolders = new Map<string, { type: string; until: number; isQueued?: boolean }>();
  /** The last scan may have left entries in the table, so a slot that becomes free is a reason to scan again. */
  #needsSlot = false;
  /** When the last scan began, by the monotonic clock. */
  #lastScan = Number.NEGATIVE_INFINITY;
  /** Running starts of workflows for commands that were sent in this process. */
  readonly #starting = new Set<Promise<void>>();
  readonly #taken: TakenIds;
  #stopped = false;
  #failures = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
    const { express, slots, workflowTypes } = options;
    this.#types = [...express.types, ...workflowTypes];
    for (const [pool, types] of [
      [express.slots, express.types],
      [slots, workflowTypes],
    ] as const) {
      const waiting = () => types.filter((type) => this.#floors.hasBacklog(type));
      pool.addUser({ waiting, freed: () => this.#onSlotFreed() });
    }
  }

  /** Runs until {@link stop}, even while Postgres or Temporal is down. */
  async run(): Promise<void> {
    const { pool, log } = this.#options;
    const listener = listen({
      pool,
      directUrl: this.#options.directUrl,
      meanwhile: `the relay polls for new entries every ${SWEEP_INTERVAL_MS} ms`,
      channel: PENDING_CHANNEL,
      onWake: () => {
        this.#notified = true;
        this.#wakeup.wake();
      },
      log,
    });
    const wake = () => this.#wakeup.wake();
    const leave = registerLocalWorker(this.#options.database, {
      wake,
      reserve: (entry) => this.#reserve(entry),
    });
    try {
      while (!this.#stopped) await this.#turn();
    } finally {
      leave();
      await listener.close();
      await Promise.all(this.#starting);
      await this.#options.express.drain();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** The first attempt of a message has started here. Returns whether the relay holds a slot for that attempt. */
  attemptBegan(messageId: string): boolean {
    const holder = this.#slotHolders.get(messageId);
    if (holder) holder.until = Number.POSITIVE_INFINITY;
    return holder !== undefined;
  }

  /** The first attempt of a message has ended here: its slot is free. */
  attemptEnded(messageId: string): void {
    this.#freeSlot(messageId);
  }

  async #turn(): Promise<void> {
    const restMs = this.#options.express.isNearlyFull
      ? this.#lastScan + NEARLY_FULL_PAUSE_MS - performance.now()
      : 0;
    if (restMs > 0) return this.#wakeup.wait(restMs);
    if (this.#notified) for (const type of this.#types) this.#hinted.add(type);
    this.#notified = false;
    // A slot that becomes free during this scan is a reason for another scan.
    this.#needsSlot = true;
    let { asked, taken } = await this.#scan(false);
    // A commit was announced, but nothing was found: another worker was faster, or the row was committed late, below its
    // floor.
    if (taken !== 'failed' && taken.length === 0 && asked.some((type) => this.#isLateScanDue(type))) {
      const late = await this.#scan(true);
      taken = late.taken;
      asked = [...asked, ...late.asked];
    }
    // Types that were left out for lack of slots keep their hint.
    for (const type of asked) this.#hinted.delete(type);
    this.#needsSlot =
      taken === 'failed' ||
      this.#types.some((type) => !asked.includes(type) || this.#floors.hasBacklog(type));
    if (taken === 'failed') return this.#backOff();
    if (taken.length === 0) return this.#wakeup.wait(SWEEP_INTERVAL_MS);
    const failed = await this.#startAll(taken.filter(({ status }) => status === 'Pending'));
    if (failed.length === 0) {
      this.#failures = 0;
      return undefined;
    }
    await this.#releaseEntries(failed);
    return this.#backOff();
  }

  #onSlotFreed(): void {
    if (this.#needsSlot) this.#wakeup.wake();
  }

  #isLateScanDue(type: string): boolean {
    return this.#hinted.has(type) && this.#floors.isFullScanDue(type, performance.now(), true);
  }

  #takeSlot({ messageId, commandType }: Pick<EntryToStart, 'messageId' | 'commandType'>): void {
    if (!this.#slotHolders.has(messageId)) this.#options.slots.take(commandType);
    this.#leaseSlot({ messageId, commandType });
  }

  #leaseSlot({ messageId, commandType }: Pick<EntryToStart, 'messageId' | 'commandType'>): void {
    this.#slotHolders.set(messageId, { type: commandType, until: Date.now() + SLOT_LEASE_MS });
  }

  #shortenLease(messageId: string): void {
    const holder = this.#slotHolders.get(messageId);
    const isRunningHere = holder?.until === Number.POSITIVE_INFINITY;
    if (!holder || isRunningHere) return;
    holder.until = Date.now() + QUEUED_SLOT_LEASE_MS;
    holder.isQueued = true;
  }

  #freeSlot(messageId: string): void {
    const holder = this.#slotHolders.get(messageId);
    if (!holder) return;
    this.#slotHolders.delete(messageId);
    this.#options.slots.release(holder.type);
  }

  #endExpiredLeases(): void {
    const now = Date.now();
    for (const [messageId, { until, type, isQueued }] of this.#slotHolders) {
      if (until >= now) continue;
      this.#freeSlot(messageId);
      // Any worker may run a queued workflow, so its lease says nothing.
      if (!isQueued) findInstruments()?.leaseExpired.add(1, { type: typeLabel(type) });
    }
  }

  /**
   * Takes as many entries as there are free slots, and a slot for each. Reads no rows of a type without a free slot. Repeats
   * the query until it finds an entry or has covered every type with a free slot.
   *
   * @param late - scan types that may have a late commit without their floors, if such a scan is due
   */
  async #scan(late: boolean): Promise<{ asked: string[]; taken: Entry[] | 'failed' }> {
    const { pool, express, log } = this.#options;
    const asked: string[] = [];
    this.#endExpiredLeases();
    for (let scans = 1; ; scans += 1) {
      const began = performance.now();
      this.#lastScan = began;
      const { shares, scansForAll } = this.#planScan(late, began);
      if (shares.length === 0) return { asked, taken: [] };
      asked.push(...shares.map(({ type }) => type));
      let scan: Look<Entry>;
      try {
        scan = await takePendingEntries(pool, shares, express.types);
      } catch (error) {
        log.warn('the relay could not read from Postgres; trying again', { error });
        return { asked, taken: 'failed' };
      }
      for (const entry of scan.rows) {
        if (entry.status === 'Processing') express.run(entry);
        else this.#takeSlot(entry);
      }
      const sharesWithBacklog = shares.filter(({ type }) => this.#floors.hasBacklog(type));
      this.#floors.noteFullScans(shares, began, performance.now());
      this.#floors.noteScan(shares, scan.rows, scan.lookedAt);
      // When a backlog has ended, other types may get more slots.
      const backlogEnded = sharesWithBacklog.some(({ type }) => !this.#floors.hasBacklog(type));
      if (scan.rows.length === 0 && (scans < scansForAll || backlogEnded) && !this.#stopped) continue;
      return { asked, taken: scan.rows };
    }
  }

  /** The rows to ask for in one query, and the number of such queries that cover every type. */
  #planScan(late: boolean, now: number): { shares: TypeShare[]; scansForAll: number } {
    const { express, workflowTypes, slots } = this.#options;
    const isFull = (type: string) =>
      this.#floors.isFullScanDue(type, now) || (late && this.#isLateScanDue(type));
    const groups = [
      { types: express.types, capacity: express.capacity() },
      { types: workflowTypes, capacity: slots.capacity() },
    ];
    return {
      shares: groups.flatMap(({ types, capacity }) =>
        this.#floors.planScan(types, batchSize(capacity), isFull, now, capacity.of),
      ),
      scansForAll: Math.max(
        ...groups.map(({ types, capacity }) => this.#floors.scansForAll(types, batchSize(capacity))),
      ),
    };
  }

  /**
   * Reserves a slot for a command that this process is sending. Null if the command must wait in the table like any other.
   */
  #reserve({ messageId, commandType }: NewEntry): ReservedSlot | null {
    const { express, workflowTypes, slots } = this.#options;
    if (this.#stopped || this.#floors.hasBacklog(commandType)) return null;
    if (express.types.includes(commandType)) return express.reserve(commandType);
    if (!workflowTypes.includes(commandType)) return null;
    // If the message already has a slot, this is a duplicate of a command that is running.
    if (this.#failures > 0 || this.#slotHolders.has(messageId)) return null;
    this.#endExpiredLeases();
    if (!slots.tryTakeForSender(commandType)) return null;
    this.#leaseSlot({ messageId, commandType });
    return {
      taken: 'leased',
      run: (entry) => {
        const start = this.#startSent(entry).finally(() => this.#starting.delete(start));
        this.#starting.add(start);
      },
      release: () => this.attemptEnded(messageId),
    };
  }

  /** If the start fails, the entry is left to the next scan, which finds out whether Temporal is available. */
  async #startSent(entry: EntryToStart): Promise<void> {
    const failed = await this.#startAll([entry]);
    if (failed.length > 0) await this.#releaseEntries(failed);
  }

  async #releaseEntries(messageIds: readonly string[]): Promise<void> {
    await releasePendingEntries(this.#options.pool, messageIds).catch(() => {
      // Their leases expire.
    });
    // The released entries are below their floors.
    this.#floors.reset();
    this.#wakeup.wake();
  }

  /** Returns the ids of the messages whose start failed. */
  async #startAll(entries: readonly EntryToStart[]): Promise<string[]> {
    const failed: string[] = [];
    await Promise.all(
      entries.map(async (entry) => {
        // Before the start, because the attempt may already have ended when Temporal's answer arrives.
        this.#takeSlot(entry);
        try {
          const started = await withinStartLimit(entry.messageId, () => this.#start(entry));
          if (started === 'running') this.#freeSlot(entry.messageId);
          if (started === 'queued') this.#shortenLease(entry.messageId);
        } catch (error) {
          this.#freeSlot(entry.messageId);
          // The entry keeps its lease and is retried after it expires. Other starts don't have to wait.
          if (this.#taken.report(error)) return;
          failed.push(entry.messageId);
          if (failed.length === 1)
            this.#options.log.warn('the relay could not start workflows; trying again', { error });
        }
      }),
    );
    return failed;
  }

  async #start(entry: EntryToStart): Promise<Started> {
    await crashPoint('relay-before-start', entry.messageId);
    const started = await startEntry(this.#options, entry);
    await crashPoint('relay-after-start', entry.messageId);
    return started;
  }

  async #backOff(): Promise<void> {
    const failures = this.#failures;
    this.#failures += 1;
    await this.#wakeup.backOff(failures, () => this.#stopped);
  }
}

function batchSize({ total }: Capacity): number {
  return Math.min(total, MAX_BATCH);
}
