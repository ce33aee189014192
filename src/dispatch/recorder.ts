/**
 * Starts the workflows of commands that completed without one. Such a workflow is only a record of the result, for the Web
 * UI and for people who look up a command in Temporal. Nothing waits for the record. The command's COMMIT marks the entry as
 * unrecorded, so if the worker dies or Temporal is down, the record is late, never lost.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { crashPoint } from '../platform/crash-points.ts';
import { Floors } from './floors.ts';
import { recordEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Starter } from '../temporal/start-workflow.ts';
import type { EntryToRecord } from '../store/dispatch.ts';
import { noteWorkflowsStarted, releaseUnrecordedEntries, takeUnrecordedEntries } from '../store/dispatch.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';
import type { Loop } from '../platform/loop.ts';

export interface RecorderOptions extends Starter {
  pool: Pool;
  log: CommandLog;
  /** How many workflows may be started at once: no more than can be started eagerly. */
  atOnce: number;
  /** The command types that this worker knows. Other types may have to be recorded in another task queue. */
  types: readonly string[];
}

/** Made when an attempt starts, so that its command can be recorded without a scan of the table. */
export interface RecordReservation {
  /** Records the command, which is Completed. */
  record(entry: EntryToRecord): void;
  /** Ends a reservation that was not used. */
  release(): void;
}

/** How often to scan for commands that were not recorded because their worker died or Temporal was down. */
const SWEEP_INTERVAL_MS = 5_000;
/** A scan without floors finds records whose lease expired and commands that were committed late. */
const FULL_SCAN_LIMITS = { minimumMs: SWEEP_INTERVAL_MS, maximumMs: 30_000 };
/** Limit for reservations, waiting records and running starts together. Other commands stay in the table for now. */
const MOST_HELD = 256;
const NOTED_TOGETHER = 200;

export class Recorder implements Loop {
  readonly #options: RecorderOptions;
  readonly #wakeup = new Wakeup();
  readonly #floors = new Floors(FULL_SCAN_LIMITS);
  readonly #running = new Set<Promise<void>>();
  #waiting: EntryToRecord[] = [];
  #reserved = 0;
  /** Messages whose workflow was started but not yet noted in Postgres. */
  #started: string[] = [];
  #noting: Promise<void> | null = null;
  /** True while unrecorded commands wait in the table. New ones must then wait there too, behind them. */
  #hasUnrecorded = false;
  readonly #taken: TakenIds;
  #failures = 0;
  #paused = false;
  #stopped = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  /** Runs until {@link stop}, even while Postgres or Temporal is down. */
  async run(): Promise<void> {
    while (!this.#stopped) await this.#turn();
    await Promise.all(this.#running);
    if (this.#noting) await this.#noting;
    await this.#releaseWaiting();
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** Null if a command that starts now must be marked as unrecorded when it completes. */
  reserve(): RecordReservation | null {
    const held = this.#reserved + this.#waiting.length + this.#running.size;
    if (this.#stopped || this.#hasUnrecorded || this.#failures > 0 || held >= MOST_HELD) return null;
    this.#reserved += 1;
    let open = true;
    const release = () => {
      if (open) this.#reserved -= 1;
      open = false;
    };
    return {
      release,
      record: (entry) => {
        release();
        this.#waiting.push(entry);
        this.#startNext();
      },
    };
  }

  /** Must be called when a command without a reservation has completed. */
  markUnrecorded(): void {
    this.#hasUnrecorded = true;
    this.#wakeup.wake();
  }

  async #turn(): Promise<void> {
    const { atOnce } = this.#options;
    const capacity = atOnce - this.#running.size - this.#waiting.length;
    // A scan after each start would cost as much as the start.
    if (capacity < Math.ceil(atOnce / 8)) return this.#wakeup.wait(SWEEP_INTERVAL_MS);
    const failures = this.#failures;
    const taken = await this.#take(capacity);
    if (taken) {
      this.#hasUnrecorded = this.#options.types.some((type) => this.#floors.hasBacklog(type));
      this.#waiting.push(...taken);
      this.#startNext();
    }
    if (!this.#hasUnrecorded) await this.#wakeup.wait(SWEEP_INTERVAL_MS);
    return this.#failures > failures ? this.#backOff() : undefined;
  }

  /** Repeats the scan until it finds something or has covered every type. */
  async #take(limit: number): Promise<EntryToRecord[] | null> {
    const { types, pool, log } = this.#options;
    const scansForAll = this.#floors.scansForAll(types, limit);
    try {
      for (let scans = 1; ; scans += 1) {
        const began = performance.now();
        const isFull = (type: string) => this.#floors.isFullScanDue(type, began);
        const shares = this.#floors.planScan(types, limit, isFull, began);
        const scan = await takeUnrecordedEntries(pool, shares);
        this.#floors.noteFullScans(shares, began, performance.now());
        this.#floors.noteScan(shares, scan.rows, scan.lookedAt);
        if (scan.rows.length === 0 && scans < scansForAll && !this.#stopped) continue;
        return scan.rows;
      }
    } catch (error) {
      log.warn('unrecorded commands could not be read from Postgres; trying again', { error });
      this.#failures += 1;
      return null;
    }
  }

  /** Starts as many workflows as may run at once. */
  #startNext(): void {
    const { atOnce } = this.#options;
    while (!this.#paused && !this.#stopped && this.#waiting.length > 0 && this.#running.size < atOnce) {
      const start = this.#record(this.#waiting.shift()!).finally(() => {
        this.#running.delete(start);
        this.#startNext();
        if (this.#hasUnrecorded || this.#failures > 0) this.#wakeup.wake();
      });
      this.#running.add(start);
    }
  }

  /** If the start fails, the entry keeps its lease, and is found again when the lease has expired. */
  async #record(entry: EntryToRecord): Promise<void> {
    const { messageId, commandType } = entry;
    try {
      await withinStartLimit(messageId, async () => {
        await crashPoint('before-record', messageId);
        await recordEntry(this.#options, entry);
        await crashPoint('after-record', messageId);
      });
      this.#failures = 0;
      this.#started.push(messageId);
      this.#noting ??= this.#noteAll().finally(() => (this.#noting = null));
    } catch (error) {
      if (this.#taken.report(error)) return;
      if (this.#failures === 0) {
        const problem = 'a completed command could not be recorded in Temporal; trying again';
        this.#options.log.warn(problem, { messageId, commandType, error });
      }
      this.#failures += 1;
    }
  }

  async #noteAll(): Promise<void> {
    while (this.#started.length > 0) {
      const messageIds = this.#started.splice(0, NOTED_TOGETHER);
      await noteWorkflowsStarted(this.#options.pool, messageIds).catch(() => {
        // They are started again when the lease has expired, and Temporal then answers that the workflows exist.
      });
    }
  }

  async #backOff(): Promise<void> {
    this.#paused = true;
    await this.#wakeup.backOff(this.#failures, () => this.#stopped);
    this.#paused = false;
    this.#startNext();
  }

  async #releaseWaiting(): Promise<void> {
    const messageIds = this.#waiting.splice(0).map(({ messageId }) => messageId);
    if (messageIds.length === 0) return;
    await releaseUnrecordedEntries(this.#options.pool, messageIds).catch(() => {
      // Their leases expire.
    });
  }
}
