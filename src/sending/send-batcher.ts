/**
 * Sends of one message each, in transactions of the inbox's own. Those that come while others are on their way go
 * together, by one statement: a transaction and its write to disk cost several times what one more row does.
 *
 * A message whose id another transaction holds waits by itself, without a connection, and the others go on.
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

/** One statement at a time: with two, groups were half as large and sends 10 % slower. */
const MOST_TOGETHER = 100;
/** How often messages whose ids are held are tried again, in ms. */
const HELD_INTERVAL_MS = 50;

interface Waiting {
  entry: NewEntry & { replyTo: string | null };
  /** Until when to wait for another transaction that holds its id. */
  giveUpAt: number;
  resolve: (sent: Sent) => void;
  reject: (error: unknown) => void;
}

/** Where it has a slot, this process takes it up at once, and it is taken with its insertion. */
type Going = Waiting & { slot: ReservedSlot | null };

export class SendGroup {
  readonly #db: Queryable;
  readonly #database: string;
  readonly #stored: () => void;
  #waiting: Waiting[] = [];
  #underWay = false;
  /** Messages whose ids other transactions hold. */
  #held: Waiting[] = [];
  #triesHeldLater = false;
  #unblocking: Promise<void> = Promise.resolve();

  /** @param stored - called when something new is in the table that nobody runs yet */
  constructor(db: Queryable, database: string, stored: () => void) {
    this.#db = db;
    this.#database = database;
    this.#stored = stored;
  }

  /** Resolves after the COMMIT. @throws IdempotencyConflictError, MessageLockedError */
  send(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    return new Promise((resolve, reject) => {
      const giveUpAt = performance.now() + SEND_WAIT_MS;
      this.#waiting.push({ entry: { ...entry, replyTo }, giveUpAt, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#underWay || this.#waiting.length === 0) return;
    const group = this.#waiting.splice(0, MOST_TOGETHER);
    this.#underWay = true;
    void this.#store(group).finally(() => {
      this.#underWay = false;
      this.#next();
    });
  }

  async #store(group: readonly Waiting[]): Promise<void> {
    const going = group.map((one) => ({
      ...one,
      slot: reserveLocally(this.#database, one.entry),
    }));
    try {
      const entries = going.map(({ entry, slot }) => ({ ...entry, taken: slot?.taken ?? null }));
      await this.#answer(going, await insertQuietly(this.#db, entries));
    } catch (error) {
      for (const { slot } of going) slot?.release();
      // Another transaction holds one of the ids. To find out which one takes a while, and the next groups do not wait for it.
      if (isLockNotAvailable(error)) this.#tryUnblockedSoon(group);
      // Postgres refused the statement, so nothing was stored: each alone gets an answer of its own.
      else if (group.length > 1 && refused(error)) for (const one of group) await this.#store([one]);
      else for (const { reject } of group) reject(error);
    }
  }

  async #answer(going: readonly Going[], inserted: readonly Entry[]): Promise<void> {
    const fresh = new Map(inserted.map((entry) => [entry.messageId, entry]));
    const repeats: Going[] = [];
    let waits = false;
    for (const one of going) {
      const entry = fresh.get(one.entry.messageId);
      // The same message twice: the second is a duplicate of the first.
      fresh.delete(one.entry.messageId);
      if (!entry) {
        one.slot?.release();
        repeats.push(one);
        continue;
      }
      if (one.slot) one.slot.run(entry);
      else waits = true;
      // The attempt's payload is not the sender's to change.
      const { payload, metadata } = one.entry;
      one.resolve({ answer: 'accepted', entry: one.slot ? { ...entry, payload, metadata } : entry });
    }
    if (waits) this.#stored();
    await this.#answerRepeats(repeats);
  }

  async #answerRepeats(repeats: readonly Going[]): Promise<void> {
    // The same message twice is compared twice.
    const first = new Map(repeats.toReversed().map((one) => [one.entry.messageId, one]));
    const others = repeats.filter((one) => first.get(one.entry.messageId) !== one);
    for (const together of [[...first.values()], ...others.map((one) => [one])]) {
      if (together.length === 0) continue;
      try {
        const entries = together.map(({ entry }) => entry);
        const known = await findKnownMessages(this.#db, entries);
        const found = new Map(known.map((message) => [message.messageId, message]));
        for (const one of together) this.#answerRepeat(one, found.get(one.entry.messageId));
      } catch (error) {
        for (const { reject } of together) reject(error);
      }
    }
  }

  #answerRepeat(repeat: Going, known: KnownMessage | undefined): void {
    const { entry, resolve, reject } = repeat;
    // It was not stored, and nobody can see why: another transaction has stored the id and has not ended.
    if (!known) this.#hold(repeat);
    else if (known.entry) resolve({ answer: 'duplicate', entry: known.entry });
    else reject(new IdempotencyConflictError(entry.messageId));
  }

  #hold(one: Waiting): void {
    this.#held.push(one);
    this.#tryHeldLater();
  }

  #tryHeldLater(): void {
    if (this.#held.length === 0 || this.#triesHeldLater) return;
    this.#triesHeldLater = true;
    setTimeout(() => {
      this.#triesHeldLater = false;
      const now = performance.now();
      for (const { entry, reject } of this.#held.filter(({ giveUpAt }) => giveUpAt <= now))
        reject(new MessageLockedError([entry.messageId], SEND_WAIT_MS));
      const held = this.#held.filter(({ giveUpAt }) => giveUpAt > now);
      this.#held = held.slice(MOST_TOGETHER);
      this.#tryUnblockedSoon(held.slice(0, MOST_TOGETHER));
      this.#tryHeldLater();
    }, HELD_INTERVAL_MS);
  }

  /** One statement at a time, beside that of the others. */
  #tryUnblockedSoon(group: readonly Waiting[]): void {
    if (group.length === 0) return;
    this.#unblocking = this.#unblocking.then(() => this.#tryUnblocked(group));
  }

  async #tryUnblocked(group: readonly Waiting[]): Promise<void> {
    const going = group.map((one) => ({ ...one, slot: null }));
    try {
      const entries = group.map(({ entry }) => ({ ...entry, taken: null }));
      await this.#answer(going, await insertUnblocked(this.#db, entries));
    } catch (error) {
      if (group.length > 1 && refused(error)) for (const one of group) await this.#tryUnblocked([one]);
      else for (const { reject } of group) reject(error);
    }
  }
}

/** Not by the error's severity, which is translated with lc_messages. */
const refused = (error: unknown) => error instanceof DatabaseError && !isDatabaseUnavailable(error);
