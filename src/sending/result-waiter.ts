/**
 * Waiting for entries to be settled: a notification where one was asked for, and a look at the rows for all others.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import type { Queryable } from '../platform/queryable.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import { listen } from '../store/notification-listener.ts';
import type { Listener } from '../store/notification-listener.ts';
import type { Entry } from '../store/entries.ts';
import type { SettledEntry } from '../store/inserts.ts';
import { findSettledEntries } from '../store/inserts.ts';

/** For duplicates of what another process waits for, and for notifications that got lost. */
const SWEEP_INTERVAL_MS = 500;

type Waiter = (settled: SettledEntry) => void;

export class Settlements {
  /** What an entry's `reply_to` is set to, for this process to hear of it. */
  readonly channel = `inbox_settled_${randomBytes(8).toString('hex')}`;
  readonly #pool: Pool;
  readonly #db: Queryable;
  readonly #log: CommandLog;
  readonly #directUrl: string | null;
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** The entries of messages that are waited for and are known to be stored, by message_id. */
  readonly #entries = new Map<string, string>();
  /** Messages that are waited for, and whose notification came before the answer to their send. */
  readonly #early = new Set<string>();
  #listener: Listener | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** @param db - runs the statements; the pool says where the listener connects to */
  constructor(pool: Pool, db: Queryable, log: CommandLog, directUrl: string | null = null) {
    this.#pool = pool;
    this.#db = db;
    this.#log = log;
    this.#directUrl = directUrl;
  }

  /** Listens from the first wait on: who only sends needs no connection for it. */
  start(): void {
    this.#listener ??= listen({
      pool: this.#pool,
      directUrl: this.#directUrl,
      meanwhile: `results are looked for every ${SWEEP_INTERVAL_MS} ms`,
      channel: this.channel,
      log: this.#log,
      onWake: (messageId) => {
        if (messageId && this.#waiters.has(messageId) && !this.#entries.has(messageId))
          this.#early.add(messageId);
        else void this.#look(messageId ? [messageId] : [...this.#waiters.keys()]);
      },
    });
    this.#timer ??= setInterval(() => void this.#look([...this.#waiters.keys()]), SWEEP_INTERVAL_MS);
  }

  /** Resolves when the entry is Completed or DeadLetter; rejects with the signal's reason when that comes first. */
  wait(messageId: string, signal: AbortSignal): Promise<SettledEntry> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(messageId) ?? new Set();
      this.#waiters.set(messageId, waiters);
      const done = () => {
        signal.removeEventListener('abort', onAbort);
        waiters.delete(onSettled);
        if (waiters.size > 0 || this.#waiters.get(messageId) !== waiters) return;
        this.#waiters.delete(messageId);
        this.#entries.delete(messageId);
        this.#early.delete(messageId);
      };
      const onSettled: Waiter = (settled) => {
        done();
        resolve(settled);
      };
      const onAbort = () => {
        done();
        reject(signal.reason as Error);
      };
      waiters.add(onSettled);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
    });
  }

  /** The message is stored as this entry: only now can it be looked for. */
  sent({ id, messageId }: Pick<Entry, 'id' | 'messageId'>): void {
    if (!this.#waiters.has(messageId)) return;
    this.#entries.set(messageId, id);
    if (this.#early.delete(messageId)) void this.#look([messageId]);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#listener?.close();
  }

  /** A notification says no more than: look. So a forged one does no harm. */
  async #look(messageIds: string[]): Promise<void> {
    const entryIds = messageIds.flatMap((messageId) => this.#entries.get(messageId) ?? []);
    if (entryIds.length === 0) return;
    const settled = await findSettledEntries(this.#db, entryIds).catch((error: unknown) => {
      this.#log.warn('could not look whether commands have ended; trying again', errorFields(error));
      return [];
    });
    for (const entry of settled) for (const waiter of this.#waiters.get(entry.messageId) ?? []) waiter(entry);
  }
}
