/**
 * Waits until entries are settled. Entries that name this process in `reply_to` cause a notification; all others are found
 * by polling.
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

/** Finds duplicates of messages that another process waits for, and entries whose notification was lost. */
const SWEEP_INTERVAL_MS = 500;

type Waiter = (settled: SettledEntry) => void;

export class ResultWaiter {
  /** The value of an entry's `reply_to` that makes the worker notify this process. */
  readonly channel = `inbox_settled_${randomBytes(8).toString('hex')}`;
  readonly #pool: Pool;
  readonly #db: Queryable;
  readonly #log: CommandLog;
  readonly #directUrl: string | null;
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** The entries of awaited messages that are known to be stored, by message_id. */
  readonly #entries = new Map<string, string>();
  /** Awaited messages whose notification arrived before the answer to their send. */
  readonly #early = new Set<string>();
  #listener: Listener | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** @param db - runs the statements; the pool only determines where the listener connects */
  constructor(pool: Pool, db: Queryable, log: CommandLog, directUrl: string | null = null) {
    this.#pool = pool;
    this.#db = db;
    this.#log = log;
    this.#directUrl = directUrl;
  }

  /** Starts listening on the first call. The constructor doesn't, because a process that only sends needs no listener. */
  start(): void {
    this.#listener ??= listen({
      pool: this.#pool,
      directUrl: this.#directUrl,
      meanwhile: `results are polled every ${SWEEP_INTERVAL_MS} ms`,
      channel: this.channel,
      log: this.#log,
      onWake: (messageId) => {
        if (messageId && this.#waiters.has(messageId) && !this.#entries.has(messageId))
          this.#early.add(messageId);
        else void this.#checkEntries(messageId ? [messageId] : [...this.#waiters.keys()]);
      },
    });
    this.#timer ??= setInterval(() => void this.#checkEntries([...this.#waiters.keys()]), SWEEP_INTERVAL_MS);
  }

  /** Resolves when the entry is Completed or DeadLetter. Rejects with the signal's reason if the signal is aborted first. */
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

  /** Records that the message is stored as this entry. Only from then on can the entry be checked. */
  sent({ id, messageId }: Pick<Entry, 'id' | 'messageId'>): void {
    if (!this.#waiters.has(messageId)) return;
    this.#entries.set(messageId, id);
    if (this.#early.delete(messageId)) void this.#checkEntries([messageId]);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#listener?.close();
  }

  /** A notification only triggers this check, so a forged one does no harm. */
  async #checkEntries(messageIds: string[]): Promise<void> {
    const entryIds = messageIds.flatMap((messageId) => this.#entries.get(messageId) ?? []);
    if (entryIds.length === 0) return;
    const settled = await findSettledEntries(this.#db, entryIds).catch((error: unknown) => {
      this.#log.warn('could not check whether commands have finished; will check again', errorFields(error));
      return [];
    });
    for (const entry of settled) for (const waiter of this.#waiters.get(entry.messageId) ?? []) waiter(entry);
  }
}
