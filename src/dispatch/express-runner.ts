/**
 * Runs the first attempts of express commands in this process, limits how many run at once, and starts the workflows of
 * those that did not complete.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import type { Json } from '../core/json.ts';
import { crashPoint } from '../platform/crash-points.ts';
import type { ReservedSlot } from '../sending/local-workers.ts';
import type { Recorder } from './recorder.ts';
import { startEntry, withinStartLimit } from '../temporal/start-workflow.ts';
import type { Starter } from '../temporal/start-workflow.ts';
import type { Entry, RecordMark } from '../store/entries.ts';
import { noteWorkflowsStarted } from '../store/dispatch.ts';
import { TakenIds } from '../temporal/taken-ids.ts';
import { TypeSlots } from './type-slots.ts';
import type { Capacity } from './type-slots.ts';

export interface ExpressRunnerOptions extends Starter {
  /** The types of all express commands. */
  types: readonly string[];
  /** How many first attempts may run at once. */
  slots: number;
  /** The express types whose workflow is started once a command is Completed. */
  recordedTypes: readonly string[];
  recorder: Recorder;
  /** Runs a claimed entry. `handOver` means that it needs a workflow now. */
  attempt: (
    entry: Entry,
    record?: RecordMark,
  ) => Promise<{ kind: 'completed'; result: Json } | { kind: 'settled' | 'handOver' }>;
  pool: Pool;
  log: CommandLog;
}

export class ExpressRunner {
  readonly types: readonly string[];
  readonly slots: TypeSlots;
  readonly #options: ExpressRunnerOptions;
  readonly #running = new Set<Promise<void>>();
  readonly #reserved = new Set<Promise<void>>();
  readonly #taken: TakenIds;
  #closed = false;

  constructor(options: ExpressRunnerOptions) {
    this.#options = options;
    this.#taken = new TakenIds(options.log);
    this.types = options.types;
    this.slots = new TypeSlots(options.slots, options.types.length);
  }

  /**
   * How many entries to claim now. When nearly all slots are in use, only types without a slot may claim: a claim after each
   * attempt would cost as much as the attempt.
   */
  capacity(): Capacity {
    const capacity = this.slots.capacity();
    if (!this.isNearlyFull) return capacity;
    return {
      total: this.slots.free || 1,
      of: (type) => (this.slots.heldBy(type) > 0 ? 0 : capacity.of(type)),
    };
  }

  get isNearlyFull(): boolean {
    return this.slots.open < this.slots.keptFromSenders;
  }

  /**
   * Reserves a slot for a command that this process is sending. Null if the command must wait in the table like any other.
   */
  reserve(type: string): ReservedSlot | null {
    if (this.#closed || !this.types.includes(type) || !this.slots.tryTakeForSender(type)) return null;
    let settle!: () => void;
    const reserved = new Promise<void>((resolve) => (settle = resolve));
    this.#reserved.add(reserved);
    const endReservation = () => {
      if (!this.#reserved.delete(reserved)) return;
      this.slots.release(type);
      settle();
    };
    return {
      taken: 'claimed',
      run: (entry) => {
        this.run(entry);
        endReservation();
      },
      release: endReservation,
    };
  }

  run(entry: Entry): void {
    this.slots.take(entry.commandType);
    const attempt = this.#run(entry).finally(() => {
      this.#running.delete(attempt);
      this.slots.release(entry.commandType);
    });
    this.#running.add(attempt);
  }

  /** Reserves no more slots, and waits for the running attempts. */
  async drain(): Promise<void> {
    this.#closed = true;
    while (this.#reserved.size + this.#running.size > 0) {
      await Promise.all([...this.#reserved, ...this.#running]);
    }
  }

  async #run(entry: Entry): Promise<void> {
    const { log } = this.#options;
    const { messageId, commandType } = entry;
    try {
      if ((await this.#attempt(entry)) === 'handOver') await this.#handOver(entry);
    } catch (error) {
      // The reconciler starts the command's workflow once the workflow ID is free.
      if (this.#taken.report(error)) return;
      const problem =
        'an express attempt was interrupted; the reconciler finds its command within half a minute and continues it';
      log.warn(problem, { messageId, commandType, error });
    }
  }

  async #attempt(entry: Entry): Promise<'completed' | 'settled' | 'handOver'> {
    const { attempt, recorder, recordedTypes } = this.#options;
    if (!recordedTypes.includes(entry.commandType)) return (await attempt(entry)).kind;
    const reservation = recorder.reserve();
    try {
      const ended = await attempt(entry, reservation ? 'leased' : 'unrecorded');
      if (ended.kind !== 'completed') return ended.kind;
      if (reservation) reservation.record({ ...entry, processedAt: new Date(), result: ended.result });
      else recorder.markUnrecorded();
      return ended.kind;
    } finally {
      reservation?.release();
    }
  }

  async #handOver(entry: Entry): Promise<void> {
    await crashPoint('before-hand-over', entry.messageId);
    await withinStartLimit(entry.messageId, () => startEntry(this.#options, entry));
    await crashPoint('after-hand-over', entry.messageId);
    await noteWorkflowsStarted(this.#options.pool, [entry.messageId]);
  }
}
