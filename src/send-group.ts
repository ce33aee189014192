/**
 * Sends of one message each, in transactions of the inbox's own. Those that come while others are on their way go
 * together, by one statement: a transaction and its write to disk cost several times what one more row does.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { Queryable } from './database.ts';
import { isDatabaseUnavailable } from './database-errors.ts';
import { IdempotencyConflictError } from './errors.ts';
import { reserveLocally } from './local-workers.ts';
import type { ReservedSlot } from './local-workers.ts';
import type { Sent } from './send.ts';
import type { Entry, NewEntry } from './store/entries.ts';
import { findKnownEntries, insertQuietly } from './store/send.ts';

/** One statement at a time: with two, groups were half as large and sends 10 % slower. */
const MOST_TOGETHER = 100;

interface Waiting {
  entry: NewEntry & { replyTo: string | null };
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

  /** @param stored - called when something new is in the table that nobody runs yet */
  constructor(db: Queryable, database: string, stored: () => void) {
    this.#db = db;
    this.#database = database;
    this.#stored = stored;
  }

  /** Resolves after the COMMIT. @throws IdempotencyConflictError */
  send(entry: NewEntry, replyTo: string | null): Promise<Sent> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry: { ...entry, replyTo }, resolve, reject });
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
      // Postgres refused the statement, so nothing was stored: each alone gets an answer of its own.
      if (group.length > 1 && refused(error)) for (const one of group) await this.#store([one]);
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
    for (const one of repeats) await this.#answerRepeat(one).catch(one.reject);
  }

  async #answerRepeat({ entry, resolve }: Going): Promise<void> {
    const [known] = await findKnownEntries(this.#db, [entry]);
    if (!known?.same) throw new IdempotencyConflictError(entry.messageId);
    resolve({ answer: 'duplicate', entry: known });
  }
}

/** Not by the error's severity, which is translated with lc_messages. */
const refused = (error: unknown) => error instanceof DatabaseError && !isDatabaseUnavailable(error);
