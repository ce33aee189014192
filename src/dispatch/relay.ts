/**
 * Moves committed Pending entries on: starts a workflow for each, or runs the first attempt of an express command. Runs
 * inside the worker process, so that the starts are eager: the first workflow task comes back with the answer and is run
 * at once.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { crashPoint } from '../platform/crash-points.ts';
import type { ExpressLane } from './express-runner.ts';
import { listen } from '../store/notification-listener.ts';
import { joinProcess } from '../sending/local-workers.ts';
import type { ReservedSlot } from '../sending/local-workers.ts';
import { startEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Started, Starter } from '../temporal/start-workflow.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import { PENDING_CHANNEL } from '../store/inserts.ts';
import { Floors } from './floors.ts';
import type { TypeShare } from '../store/dispatch.ts';
import { releasePendingEntries, takePendingEntries } from '../store/dispatch.ts';
import type { EntryToStart, Look } from '../store/dispatch.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import type { Capacity, TypeSlots } from './type-slots.ts';
import { Wakeup } from '../platform/interruptible-sleep.ts';

export interface RelayOptions extends Starter {
  pool: Pool;
  /** For LISTEN; null for the connection settings of the pool. */
  directUrl?: string | null | undefined;
  /**
   * One slot for each first attempt in this process. The relay starts no more workflows than that, because further ones would go
   * through the task queue: starting a whole burst at once ran at a third of the rate, with seconds of latency.
   */
  slots: TypeSlots;
  /** The command types that this worker knows and starts a workflow for. */
  workflowTypes: readonly string[];
  express: ExpressLane;
  /** Which database this is: see {@link identifyDatabase}. */
  database: string;
  log: CommandLog;
}

export interface Relay {
  /** Works until {@link stop}. Postgres or Temporal being away is no reason to end. */
  run(): Promise<void>;
  stop(): void;
  /** The first attempt of a message has begun here. Returns whether the relay took a slot for it, kept until it ends. */
  attemptBegan(messageId: string): boolean;
  /** The first attempt of a message has ended here: its slot is free. */
  attemptEnded(messageId: string): void;
}

/** The safety net: NOTIFY is quicker, but a notification can be lost. */
const SWEEP_INTERVAL_MS = 1_000;
/** A start that did not come back here, because another worker got it, does not hold its slot for longer. */
const SLOT_LEASE_MS = 10_000;
const MAX_BATCH = 200;
/** The shortest time between two looks while the express lane is nearly full, so that not every attempt that ends causes a look. */
const NEARLY_FULL_PAUSE_MS = 10;
/** A row that was committed late waits for a look without floors. */
const FULL_LOOK_LIMITS = { minimumMs: SWEEP_INTERVAL_MS, maximumMs: 10_000 };

export function createRelay(options: RelayOptions): Relay {
  return new PendingRelay(options);
}

class PendingRelay implements Relay {
  readonly #options: RelayOptions;
  readonly #types: readonly string[];
  readonly #wakeup = new Wakeup();
  readonly #floors = new Floors(FULL_LOOK_LIMITS);
  /** Something was committed since the last look began. */
  #notified = false;
  /** Types that have not been asked for since a commit was announced. */
  readonly #hinted = new Set<string>();
  /** Messages whose first attempt is running here, or about to; with the time when their slot is given up. */
  readonly #holders = new Map<string, { type: string; until: number }>();
  /** The last look may have left entries in the table, so a slot that becomes free is a reason to look again. */
  #wantsRoom = false;
  /** When the last look began, by the monotonic clock. */
  #lastLook = Number.NEGATIVE_INFINITY;
  /** Starts of what was sent in this process. */
  readonly #starting = new Set<Promise<void>>();
  readonly #taken: TakenIds;
  #stopped = false;
  #failures = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
    const { express, slots, workflowTypes } = options;
    this.#types = [...express.types, ...workflowTypes];
    for (const [lane, types] of [
      [express.slots, express.types],
      [slots, workflowTypes],
    ] as const) {
      const waiting = () => types.filter((type) => this.#floors.hasBacklog(type));
      lane.addUser({ waiting, freed: () => this.#freed() });
    }
  }

  async run(): Promise<void> {
    const { pool, log } = this.#options;
    const listener = listen({
      pool,
      directUrl: this.#options.directUrl,
      meanwhile: `new entries are found by a sweep every ${SWEEP_INTERVAL_MS} ms`,
      channel: PENDING_CHANNEL,
      onWake: () => {
        this.#notified = true;
        this.#wakeup.wake();
      },
      log,
    });
    const wake = () => this.#wakeup.wake();
    const leave = joinProcess(this.#options.database, { wake, reserve: (entry) => this.#reserve(entry) });
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

  attemptBegan(messageId: string): boolean {
    const holder = this.#holders.get(messageId);
    if (holder) holder.until = Number.POSITIVE_INFINITY;
    return holder !== undefined;
  }

  attemptEnded(messageId: string): void {
    this.#leave(messageId);
  }

  async #turn(): Promise<void> {
    const restMs = this.#options.express.isNearlyFull
      ? this.#lastLook + NEARLY_FULL_PAUSE_MS - performance.now()
      : 0;
    if (restMs > 0) return this.#wakeup.wait(restMs);
    if (this.#notified) for (const type of this.#types) this.#hinted.add(type);
    this.#notified = false;
    // A slot that becomes free during this look needs another look.
    this.#wantsRoom = true;
    let { asked, taken } = await this.#look(false);
    // A commit was announced and nothing found: another worker was quicker, or the row was committed late, below its floor.
    if (taken !== 'failed' && taken.length === 0 && asked.some((type) => this.#isLateLookDue(type))) {
      const late = await this.#look(true);
      taken = late.taken;
      asked = [...asked, ...late.asked];
    }
    // Types without room keep their hint.
    for (const type of asked) this.#hinted.delete(type);
    this.#wantsRoom =
      taken === 'failed' ||
      this.#types.some((type) => !asked.includes(type) || this.#floors.hasBacklog(type));
    if (taken === 'failed') return this.#backOff();
    if (taken.length === 0) return this.#wakeup.wait(SWEEP_INTERVAL_MS);
    const failed = await this.#startAll(taken.filter(({ status }) => status === 'Pending'));
    if (failed.length === 0) {
      this.#failures = 0;
      return undefined;
    }
    await this.#giveBack(failed);
    return this.#backOff();
  }

  #freed(): void {
    if (this.#wantsRoom) this.#wakeup.wake();
  }

  #isLateLookDue(type: string): boolean {
    return this.#hinted.has(type) && this.#floors.isFullLookDue(type, performance.now(), true);
  }

  #hold({ messageId, commandType }: Pick<EntryToStart, 'messageId' | 'commandType'>): void {
    if (!this.#holders.has(messageId)) this.#options.slots.take(commandType);
    this.#setHolder({ messageId, commandType });
  }

  #setHolder({ messageId, commandType }: Pick<EntryToStart, 'messageId' | 'commandType'>): void {
    this.#holders.set(messageId, { type: commandType, until: Date.now() + SLOT_LEASE_MS });
  }

  #leave(messageId: string): void {
    const holder = this.#holders.get(messageId);
    if (!holder) return;
    this.#holders.delete(messageId);
    this.#options.slots.release(holder.type);
  }

  #endLeases(): void {
    const now = Date.now();
    for (const [messageId, { until }] of this.#holders) if (until < now) this.#leave(messageId);
  }

  /**
   * Takes as many entries as there is room for, and a slot for each. It reads no rows of a type without room, and repeats the query
   * until it finds an entry or has asked for every type with room.
   *
   * @param late - whether to ask without floors for types that may have a late commit, if that is due
   */
  async #look(late: boolean): Promise<{ asked: string[]; taken: Entry[] | 'failed' }> {
    const { pool, express, log } = this.#options;
    const asked: string[] = [];
    this.#endLeases();
    for (let looks = 1; ; looks += 1) {
      const began = performance.now();
      this.#lastLook = began;
      const { shares, looksForAll } = this.#ask(late, began);
      if (shares.length === 0) return { asked, taken: [] };
      asked.push(...shares.map(({ type }) => type));
      let look: Look<Entry>;
      try {
        look = await takePendingEntries(pool, shares, express.types);
      } catch (error) {
        log.warn('the relay could not read from Postgres; trying again', { error });
        return { asked, taken: 'failed' };
      }
      for (const entry of look.rows) {
        if (entry.status === 'Processing') express.run(entry);
        else this.#hold(entry);
      }
      const hadBacklog = shares.filter(({ type }) => this.#floors.hasBacklog(type));
      this.#floors.fullLookEnded(shares, began, performance.now());
      this.#floors.looked(shares, look.rows, look.lookedAt);
      // When a backlog has ended, other types may have more room.
      const backlogEnded = hadBacklog.some(({ type }) => !this.#floors.hasBacklog(type));
      if (look.rows.length === 0 && (looks < looksForAll || backlogEnded) && !this.#stopped) continue;
      return { asked, taken: look.rows };
    }
  }

  /** The rows to ask for in one query, and how many such queries it takes to ask for every type. */
  #ask(late: boolean, now: number): { shares: TypeShare[]; looksForAll: number } {
    const { express, workflowTypes, slots } = this.#options;
    const isFull = (type: string) =>
      this.#floors.isFullLookDue(type, now) || (late && this.#isLateLookDue(type));
    const lanes = [
      { types: express.types, room: express.capacity() },
      { types: workflowTypes, room: slots.capacity() },
    ];
    return {
      shares: lanes.flatMap(({ types, room }) => this.#floors.ask(types, mostOf(room), isFull, now, room.of)),
      looksForAll: Math.max(...lanes.map(({ types, room }) => this.#floors.looksForAll(types, mostOf(room)))),
    };
  }

  /** For a command that is just being sent in this process; null: it has to wait in the table like any other. */
  #reserve({ messageId, commandType }: NewEntry): ReservedSlot | null {
    const { express, workflowTypes, slots } = this.#options;
    if (this.#stopped || this.#floors.hasBacklog(commandType)) return null;
    if (express.types.includes(commandType)) return express.reserve(commandType);
    if (!workflowTypes.includes(commandType)) return null;
    // A message that has a slot is a duplicate of the one that runs.
    if (this.#failures > 0 || this.#holders.has(messageId)) return null;
    this.#endLeases();
    if (!slots.tryTakeForSender(commandType)) return null;
    this.#setHolder({ messageId, commandType });
    return {
      taken: 'leased',
      run: (entry) => {
        const start = this.#startSent(entry).finally(() => this.#starting.delete(start));
        this.#starting.add(start);
      },
      release: () => this.attemptEnded(messageId),
    };
  }

  /** What could not be started is for the next look at the table, which finds out whether Temporal is there. */
  async #startSent(entry: EntryToStart): Promise<void> {
    const failed = await this.#startAll([entry]);
    if (failed.length > 0) await this.#giveBack(failed);
  }

  async #giveBack(messageIds: readonly string[]): Promise<void> {
    await releasePendingEntries(this.#options.pool, messageIds).catch(() => {
      // Their lease runs out by itself.
    });
    // They are below their floors.
    this.#floors.reset();
    this.#wakeup.wake();
  }

  /** The message ids whose start failed. */
  async #startAll(entries: readonly EntryToStart[]): Promise<string[]> {
    const failed: string[] = [];
    await Promise.all(
      entries.map(async (entry) => {
        // Before the start: its attempt may have ended when the answer comes.
        this.#hold(entry);
        try {
          const started = await withinStartLimit(entry.messageId, () => this.#start(entry));
          if (started === 'running') this.#leave(entry.messageId);
        } catch (error) {
          this.#leave(entry.messageId);
          // It keeps its lease and is tried again after that; no other start has to wait for it.
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

function mostOf({ total }: Capacity): number {
  return Math.min(total, MAX_BATCH);
}
