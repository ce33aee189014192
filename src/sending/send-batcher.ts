/**
 * Sends single messages, in the inbox's own transactions. Messages that arrive while a statement is running are stored
 * together by the next one: a transaction and its write to disk cost several times as much as one more row.
 *
 * A message whose id is locked by another transaction waits here, without a connection, and does not delay the others.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import { isLockNotAvailable } from '../platform/postgres.ts';
import type { Queryable } from '../platform/queryable.ts';
import { isDatabaseUnavailable } from '../platform/postgres-errors.ts';
import { IdempotencyConflictError, MessageLockedError } from '../core/errors.ts';
import { reserveLocally } from './local-workers.ts';
import type { ReservedSlot } from './local-workers.ts';
import type { Sent } from '../commands/message.ts';
import type { Entry, NewEntry } from '../store/entries.ts';
import { findKnownMessages, insertQuietly, insertUnblocked, SEND_WAIT_MS } from '../store/inserts.ts';
import type { KnownMessage } from '../store/inserts.ts';

/** Only one statement runs at a time: with two, batches were half as large and sends 10 % slower. */
const MAX_BATCH_SIZE = 100;
/** How often messages with locked ids are retried, in ms. */
const LOCKED_RETRY_INTERVAL_MS = 50;

interface PendingSend {
  entry: NewEntry & { replyTo: string | null };
  /** When to stop waiting for another transaction that has locked the id. */
  deadline: number;
  resolve: (sent: Sent) => void;
  reject: (error: unknown) => void;
}

/** If a local worker reserved a slot, the INSERT also claims or leases the entry for it. */
type ReservedSend = PendingSend & { slot: ReservedSlot | null };

export class SendBatcher {
  readonly #db: Queryable;
  readonly #database: string;
  readonly #onStored: () => void;
  #pending: PendingSend[] = [];
  #isStoring = false;
  /** Messages whose ids other transactions have locked. */
  #locked: PendingSend[] = [];
  #isRetryScheduled = false;
  #retries: Promise<void> = Promise.resolve();

  /** @param onStored - called when the table contains new entries that no local worker has taken */
  constructor(db: Queryable, database: string, onStored: () => void) {
    this.#db = db;
    this.#database = database;
    this.#onStored = onStored;
  }

  /**
   * Resolves after the COMMIT.
   *
   * @throws IdempotencyConflictError if the id was used with another command type or payload; MessageLockedError if another
   *   transaction holds the id for too long
   */
  send(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + SEND_WAIT_MS;
      this.#pending.push({ entry: { ...entry, replyTo }, deadline, resolve, reject });
      this.#storeNextBatch();
    });
  }

  #storeNextBatch(): void {
    if (this.#isStoring || this.#pending.length === 0) return;
    const batch = this.#pending.splice(0, MAX_BATCH_SIZE);
    this.#isStoring = true;
    void this.#storeBatch(batch).finally(() => {
      this.#isStoring = false;
      this.#storeNextBatch();
    });
  }

  async #storeBatch(batch: readonly PendingSend[]): Promise<void> {
    const sends = batch.map((one) => ({
      ...one,
      slot: reserveLocally(this.#database, one.entry),
    }));
    try {
      const entries = sends.map(({ entry, slot }) => ({ ...entry, taken: slot?.taken ?? null }));
      await this.#answerSends(sends, await insertQuietly(this.#db, entries));
    } catch (error) {
      for (const { slot } of sends) slot?.release();
      // Another transaction has locked one of the ids. Finding out which one takes a while, so the next batches do not wait.
      if (isLockNotAvailable(error)) this.#queueRetry(batch);
      // Postgres refused the statement, so nothing was stored. Each message is sent alone to get its own answer.
      else if (batch.length > 1 && isStatementError(error))
        for (const one of batch) await this.#storeBatch([one]);
      else for (const { reject } of batch) reject(error);
    }
  }

  async #answerSends(sends: readonly ReservedSend[], inserted: readonly Entry[]): Promise<void> {
    const insertedById = new Map(inserted.map((entry) => [entry.messageId, entry]));
    const duplicates: ReservedSend[] = [];
    let needsWorker = false;
    for (const one of sends) {
      const entry = insertedById.get(one.entry.messageId);
      // If the batch contains a message twice, the second is a duplicate of the first.
      insertedById.delete(one.entry.messageId);
      if (!entry) {
        one.slot?.release();
        duplicates.push(one);
        continue;
      }
      if (one.slot) one.slot.run(entry);
      else needsWorker = true;
      // The attempt has its own copy of the payload, so the sender may change its object.
      const { payload, metadata } = one.entry;
      one.resolve({ answer: 'accepted', entry: one.slot ? { ...entry, payload, metadata } : entry });
    }
    if (needsWorker) this.#onStored();
    await this.#answerDuplicates(duplicates);
  }

  async #answerDuplicates(duplicates: readonly ReservedSend[]): Promise<void> {
    // A message that the batch contains twice is compared separately each time.
    const first = new Map(duplicates.toReversed().map((one) => [one.entry.messageId, one]));
    const others = duplicates.filter((one) => first.get(one.entry.messageId) !== one);
    for (const batch of [[...first.values()], ...others.map((one) => [one])]) {
      if (batch.length === 0) continue;
      try {
        const entries = batch.map(({ entry }) => entry);
        const known = await findKnownMessages(this.#db, entries);
        const found = new Map(known.map((message) => [message.messageId, message]));
        for (const one of batch) this.#answerDuplicate(one, found.get(one.entry.messageId));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  #answerDuplicate(duplicate: ReservedSend, known: KnownMessage | undefined): void {
    const { entry, resolve, reject } = duplicate;
    // It was not stored and is not visible either: another open transaction has stored the id.
    if (!known) this.#retryLater(duplicate);
    else if (known.entry) resolve({ answer: 'duplicate', entry: known.entry });
    else reject(new IdempotencyConflictError(entry.messageId));
  }

  #retryLater(one: PendingSend): void {
    this.#locked.push(one);
    this.#scheduleRetry();
  }

  #scheduleRetry(): void {
    if (this.#locked.length === 0 || this.#isRetryScheduled) return;
    this.#isRetryScheduled = true;
    setTimeout(() => {
      this.#isRetryScheduled = false;
      const now = performance.now();
      for (const { entry, reject } of this.#locked.filter(({ deadline }) => deadline <= now))
        reject(new MessageLockedError([entry.messageId], SEND_WAIT_MS));
      const locked = this.#locked.filter(({ deadline }) => deadline > now);
      this.#locked = locked.slice(MAX_BATCH_SIZE);
      this.#queueRetry(locked.slice(0, MAX_BATCH_SIZE));
      this.#scheduleRetry();
    }, LOCKED_RETRY_INTERVAL_MS);
  }

  /** Retries run one at a time, in parallel with the statements for other messages. */
  #queueRetry(batch: readonly PendingSend[]): void {
    if (batch.length === 0) return;
    this.#retries = this.#retries.then(() => this.#retryUnlocked(batch));
  }

  async #retryUnlocked(batch: readonly PendingSend[]): Promise<void> {
    const sends = batch.map((one) => ({ ...one, slot: null }));
    try {
      const entries = batch.map(({ entry }) => ({ ...entry, taken: null }));
      await this.#answerSends(sends, await insertUnblocked(this.#db, entries));
    } catch (error) {
      if (batch.length > 1 && isStatementError(error))
        for (const one of batch) await this.#retryUnlocked([one]);
      else for (const { reject } of batch) reject(error);
    }
  }
}

/** Does not use the error's severity, because lc_messages translates it. */
const isStatementError = (error: unknown) => error instanceof DatabaseError && !isDatabaseUnavailable(error);
