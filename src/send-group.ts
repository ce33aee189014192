/**
 * Sends of one message each, in transactions of the inbox's own. Those that come while others are on their way go
 * together, by one statement: a transaction and its write to disk cost several times what one more row does.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { Pool } from 'pg';
import { IdempotencyConflictError } from './errors.ts';
import type { Sent } from './send.ts';
import type { Entry } from './store/entries.ts';
import type { EntryToSend } from './store/send.ts';
import { findKnownEntries, insertQuietly } from './store/send.ts';

/** Statements under way at a time: with two, one is read and planned while the other waits for the disk. */
const STATEMENTS = 2;
const MOST_TOGETHER = 100;

interface Waiting {
  entry: EntryToSend;
  resolve: (sent: Sent) => void;
  reject: (error: unknown) => void;
}

export class SendGroup {
  readonly #pool: Pool;
  readonly #accepted: () => void;
  #waiting: Waiting[] = [];
  #underWay = 0;

  /** @param accepted - called after a COMMIT that stored something new */
  constructor(pool: Pool, accepted: () => void) {
    this.#pool = pool;
    this.#accepted = accepted;
  }

  /** Resolves after the COMMIT. @throws IdempotencyConflictError */
  send(entry: EntryToSend): Promise<Sent> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#underWay === STATEMENTS || this.#waiting.length === 0) return;
    const group = this.#waiting.splice(0, MOST_TOGETHER);
    this.#underWay += 1;
    void this.#store(group).finally(() => {
      this.#underWay -= 1;
      this.#next();
    });
  }

  async #store(group: readonly Waiting[]): Promise<void> {
    try {
      const inserted = await insertQuietly(
        this.#pool,
        group.map(({ entry }) => entry),
      );
      if (inserted.length > 0) this.#accepted();
      await this.#answer(group, inserted);
    } catch (error) {
      // Postgres refused the statement, so nothing was stored: each alone gets an answer of its own.
      if (group.length > 1 && refused(error)) for (const one of group) await this.#store([one]);
      else for (const { reject } of group) reject(error);
    }
  }

  async #answer(group: readonly Waiting[], inserted: readonly Entry[]): Promise<void> {
    const fresh = new Map(inserted.map((entry) => [entry.messageId, entry]));
    const repeats = group.filter(({ entry: { messageId }, resolve }) => {
      const entry = fresh.get(messageId);
      // The same message twice: the second is a duplicate of the first.
      fresh.delete(messageId);
      if (entry) resolve({ answer: 'accepted', entry });
      return !entry;
    });
    for (const { entry, resolve, reject } of repeats) {
      const [known] = await findKnownEntries(this.#pool, [entry]);
      if (known?.same) resolve({ answer: 'duplicate', entry: known });
      else reject(new IdempotencyConflictError(entry.messageId));
    }
  }
}

const refused = (error: unknown) => error instanceof DatabaseError && error.severity === 'ERROR';
