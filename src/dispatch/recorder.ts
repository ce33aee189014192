/**
 * Starts the workflows of commands that completed without one: the record of what came of them, for the Web UI and for whoever
 * looks a command up in Temporal. Nothing waits for it; what is owed is noted with the command's COMMIT, so that a record
 * is late while Temporal is away, and never missing.
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

export interface RecorderOptions extends Starter {
  pool: Pool;
  log: CommandLog;
  /** Starts at a time: no more than can be eager. */
  atOnce: number;
  /** The command types that this worker knows: what it did not run, another task queue may have to record. */
  types: readonly string[];
}

/** Kept for a command whose attempt begins, so that its record needs no look at the table. */
export interface RecordPlace {
  /** It is Completed. */
  use(entry: EntryToRecord): void;
  /** It is not. */
  release(): void;
}

/** What is left behind by others: by a worker that died, and while Temporal was away. */
const SWEEP_INTERVAL_MS = 5_000;
/** Records whose lease ran out, and commands that were committed late, wait for a look without floors. */
const FULL_LOOK_LIMITS = { minimumMs: SWEEP_INTERVAL_MS, maximumMs: 30_000 };
/** Places: what runs, what waits, what may come. More than this is in the table until there is room. */
const MOST_HELD = 256;
const NOTED_TOGETHER = 200;

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #wakeup = new Wakeup();
  readonly #floors = new Floors(FULL_LOOK_LIMITS);
  readonly #running = new Set<Promise<void>>();
  #waiting: EntryToRecord[] = [];
  #reserved = 0;
  /** Started, and not noted yet. */
  #started: string[] = [];
  #noting: Promise<void> | null = null;
  /** Whether the table holds some that nobody is about to start: then others go behind them. */
  #hasUnrecorded = false;
  readonly #taken: TakenIds;
  #failures = 0;
  #paused = false;
  #stopped = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
  }

  /** Works until {@link stop}. Postgres or Temporal being away is no reason to end. */
  async run(): Promise<void> {
    while (!this.#stopped) await this.#turn();
    await Promise.all(this.#running);
    if (this.#noting) await this.#noting;
    await this.#giveBack();
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeup.wake();
  }

  /** Null: what completes now must be marked as unrecorded. */
  reserve(): RecordPlace | null {
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
      use: (entry) => {
        release();
        this.#waiting.push(entry);
        this.#startNext();
      },
    };
  }

  /** One that had no place is Completed. */
  markUnrecorded(): void {
    this.#hasUnrecorded = true;
    this.#wakeup.wake();
  }

  async #turn(): Promise<void> {
    const { atOnce } = this.#options;
    const room = atOnce - this.#running.size - this.#waiting.length;
    // A look for each start that ends would cost as much as the start.
    if (room < Math.ceil(atOnce / 8)) return this.#wakeup.wait(SWEEP_INTERVAL_MS);
    const failures = this.#failures;
    const taken = await this.#take(room);
    if (taken) {
      this.#hasUnrecorded = this.#options.types.some((type) => this.#floors.hasBacklog(type));
      this.#waiting.push(...taken);
      this.#startNext();
    }
    if (!this.#hasUnrecorded) await this.#wakeup.wait(SWEEP_INTERVAL_MS);
    return this.#failures > failures ? this.#backOff() : undefined;
  }

  /** Looks until it finds something or has asked for every type. */
  async #take(limit: number): Promise<EntryToRecord[] | null> {
    const { types, pool, log } = this.#options;
    const looksForAll = this.#floors.looksForAll(types, limit);
    try {
      for (let looks = 1; ; looks += 1) {
        const began = performance.now();
        const isFull = (type: string) => this.#floors.isFullLookDue(type, began);
        const shares = this.#floors.ask(types, limit, isFull, began);
        const look = await takeUnrecordedEntries(pool, shares);
        this.#floors.fullLookEnded(shares, began, performance.now());
        this.#floors.looked(shares, look.rows, look.lookedAt);
        if (look.rows.length === 0 && looks < looksForAll && !this.#stopped) continue;
        return look.rows;
      }
    } catch (error) {
      log.warn('what is still to be recorded could not be read from Postgres; trying again', { error });
      this.#failures += 1;
      return null;
    }
  }

  /** As many as there is room for. */
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

  /** One that fails keeps its lease, and is found again when that has run out. */
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
        const problem = 'a completed command could not be recorded in Temporal; it is tried again';
        this.#options.log.warn(problem, { messageId, commandType, error });
      }
      this.#failures += 1;
    }
  }

  async #noteAll(): Promise<void> {
    while (this.#started.length > 0) {
      const messageIds = this.#started.splice(0, NOTED_TOGETHER);
      await noteWorkflowsStarted(this.#options.pool, messageIds).catch(() => {
        // Started again when the lease has run out: Temporal answers then that it is there.
      });
    }
  }

  async #backOff(): Promise<void> {
    this.#paused = true;
    await this.#wakeup.backOff(this.#failures, () => this.#stopped);
    this.#paused = false;
    this.#startNext();
  }

  async #giveBack(): Promise<void> {
    const messageIds = this.#waiting.splice(0).map(({ messageId }) => messageId);
    if (messageIds.length === 0) return;
    await releaseUnrecordedEntries(this.#options.pool, messageIds).catch(() => {
      // Their leases run out by themselves.
    });
  }
}
