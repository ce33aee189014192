/**
 * The heart of the HTTP API: one transaction that writes the API's own table and sends the command.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { output } from 'zod';
import { sqlState, withTransaction } from '../../src/platform/postgres.ts';
import { InboxError } from '../../src/core/errors.ts';
import type { Inbox } from '../../src/sending/inbox.ts';
import type { Sent } from '../../src/commands/message.ts';
import type { Entry } from '../../src/store/entries.ts';
import { messageIdOf } from './idempotency-key.ts';
import { transferFunds } from './transfer-funds.ts';

export type Transfer = output<typeof transferFunds.schema>;

/** The inbox no longer has the entry of this key, but the bank remembers that the key was used. */
export class KeyUsedUpError extends Error {
  override readonly name = 'KeyUsedUpError';
}

/** Postgres cannot be worked with now. What was asked may have happened: a repeat with the same key finds out. */
export class BankUnavailableError extends Error {
  override readonly name = 'BankUnavailableError';
}

/**
 * Asks for a transfer, once for each key. Of repeats at the same time all but one wait in `send` for the first one's
 * COMMIT, and are then duplicates; if it rolls back, one of them takes its place.
 *
 * @throws IdempotencyConflictError, KeyUsedUpError, BankUnavailableError
 */
export function requestTransfer(pool: Pool, inbox: Inbox, key: string, transfer: Transfer): Promise<Sent> {
  const message = { messageId: messageIdOf(key), type: transferFunds.type, payload: transfer };
  return retryWhenDatabaseUnavailable(
    withTransaction(pool, async (tx) => {
      const sent = await inbox.send(message, { tx });
      const { rowCount } = await tx.query(
        `insert into bank.transfer_requests (idempotency_key, from_account, to_account, amount_cents)
         values ($1, $2, $3, $4) on conflict do nothing`,
        [key, transfer.from, transfer.to, transfer.amountCents],
      );
      // Pruned from the inbox: sending it again would transfer the money again.
      if (sent.answer === 'accepted' && rowCount === 0) throw new KeyUsedUpError();
      return sent;
    }),
  );
}

/** Null for a key that nobody has used. */
export async function findTransfer(inbox: Inbox, key: string): Promise<Entry | null> {
  const entry = await retryWhenDatabaseUnavailable(inbox.status(messageIdOf(key)));
  return entry?.commandType === transferFunds.type ? entry : null;
}

/**
 * Classes of SQLSTATE that pass by themselves: connection, rollback by Postgres, resources, locks, shutdown.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const PASSING = new Set(['08', '40', '53', '55', '57']);

/** An error without a SQLSTATE is one of the connection, of which pg has many: refused, reset, ended, timed out. */
async function retryWhenDatabaseUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof InboxError || error instanceof KeyUsedUpError) throw error;
    const state = sqlState(error);
    if (state !== null && !PASSING.has(state.slice(0, 2))) throw error;
    throw new BankUnavailableError('Postgres could not be worked with', { cause: error });
  }
}
