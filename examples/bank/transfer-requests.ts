/**
 * The transaction of the HTTP API, which writes the API's own table and sends the command.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { output } from 'zod';
import { InboxError } from 'temporal-inbox';
import type { Entry, Inbox, Sent } from 'temporal-inbox';
import { messageIdOf } from './idempotency-key.ts';
import { inTransaction, sqlStateOf } from './postgres.ts';
import { transferFunds } from './transfer-funds.ts';

export type Transfer = output<typeof transferFunds.schema>;

/** The inbox has pruned the entry of this key, but the bank's own table shows that the key was used. */
export class KeyUsedUpError extends Error {
  override readonly name = 'KeyUsedUpError';
}

/** Postgres is unavailable. The request may have been accepted; repeating it with the same key finds out. */
export class BankUnavailableError extends Error {
  override readonly name = 'BankUnavailableError';
}

/**
 * Requests a transfer, once for each key. If several requests with the same key arrive at the same time, all but the
 * first wait in `send` for the first one's COMMIT and are then duplicates. If the first one rolls back, one of the others
 * takes its place.
 *
 * @throws IdempotencyConflictError, KeyUsedUpError, BankUnavailableError
 */
export function requestTransfer(pool: Pool, inbox: Inbox, key: string, transfer: Transfer): Promise<Sent> {
  const message = { messageId: messageIdOf(key), type: transferFunds.type, payload: transfer };
  return mapDatabaseErrors(
    inTransaction(pool, async (tx) => {
      const sent = await inbox.send(message, { tx });
      const { rowCount } = await tx.query(
        `insert into bank.transfer_requests (idempotency_key, from_account, to_account, amount_cents)
         values ($1, $2, $3, $4) on conflict do nothing`,
        [key, transfer.from, transfer.to, transfer.amountCents],
      );
      // The inbox has pruned the entry. Sending the command again would transfer the money again.
      if (sent.answer === 'accepted' && rowCount === 0) throw new KeyUsedUpError();
      return sent;
    }),
  );
}

/** Returns null if no transfer was requested with this key. */
export async function findTransfer(inbox: Inbox, key: string): Promise<Entry | null> {
  const entry = await mapDatabaseErrors(inbox.status(messageIdOf(key)));
  return entry?.commandType === transferFunds.type ? entry : null;
}

/**
 * SQLSTATE classes of transient errors: connection, rollback by Postgres, resources, locks, shutdown.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const TRANSIENT_CLASSES = new Set(['08', '40', '53', '55', '57']);

/**
 * Turns transient database errors into {@link BankUnavailableError}. An error without a SQLSTATE is a connection error,
 * of which pg has many: refused, reset, ended, timed out.
 */
async function mapDatabaseErrors<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof InboxError || error instanceof KeyUsedUpError) throw error;
    const state = sqlStateOf(error);
    if (state !== null && !TRANSIENT_CLASSES.has(state.slice(0, 2))) throw error;
    throw new BankUnavailableError('Postgres is unavailable', { cause: error });
  }
}
