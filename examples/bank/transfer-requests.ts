/**
 * The endpoint that clients request transfers from, and its transaction, which writes the API's own table and sends the
 * command.
 *
 * @module
 */
import type { Pool } from 'pg';
import { defineContract } from 'temporal-inbox';
import type { CommandLog, Entry, Inbox, JsonObject, MessageFor, Sent } from 'temporal-inbox';
import { commandEndpoint, errorTypeOf, HttpProblem } from 'temporal-inbox/http';
import type { HttpHandler } from 'temporal-inbox/http';
import { inTransaction } from './postgres.ts';
import { transferFunds } from './transfer-funds.ts';

/** Strict, so that a client that sends an unsupported member, such as `currency`, gets an error instead of being ignored. */
const transfer = defineContract({ type: transferFunds.type, schema: transferFunds.schema.strict() });

export const MAX_BODY_BYTES = 10_000;

export interface TransferEndpointOptions {
  pool: Pool;
  inbox: Inbox;
  log: CommandLog;
}

/** Serves POST /transfers and GET /transfers/<key>. */
export function transferEndpoint({ pool, inbox, log }: TransferEndpointOptions): HttpHandler {
  return commandEndpoint({
    inbox,
    command: transfer,
    path: '/transfers',
    // The prefix separates the API's keys from the message_ids of other senders.
    messageId: (key) => `transfer-${key}`,
    send: (message, key) => requestTransfer(pool, inbox, key, message),
    describe: describeTransfer,
    maxBodyBytes: MAX_BODY_BYTES,
    problemType,
    log,
  });
}

/**
 * Requests a transfer, once for each key. If several requests with the same key arrive at the same time, all but the
 * first wait in `send` for the first one's COMMIT and are then duplicates. If the first one rolls back, one of the others
 * takes its place.
 *
 * @throws HttpProblem 422 if the inbox has pruned the entry of this key, but the bank's own table shows that it was used
 */
function requestTransfer(
  pool: Pool,
  inbox: Inbox,
  key: string,
  message: MessageFor<typeof transfer>,
): Promise<Sent> {
  return inTransaction(pool, async (tx) => {
    const sent = await inbox.send(transfer, message, { tx });
    const { from, to, amountCents } = message.payload;
    const { rowCount } = await tx.query(
      `insert into bank.transfer_requests (idempotency_key, from_account, to_account, amount_cents)
       values ($1, $2, $3, $4) on conflict do nothing`,
      [key, from, to, amountCents],
    );
    // Sending the command again would transfer the money again.
    if (sent.answer === 'accepted' && rowCount === 0) throw usedUp();
    return sent;
  });
}

function usedUp(): HttpProblem {
  return new HttpProblem(
    422,
    'idempotency-key-used-up',
    'this Idempotency-Key was used long ago, and the status of its transfer is no longer stored; use a new key for a new transfer',
  );
}

/** Describes a failure only by its type, because its message may reveal another customer's balance. */
function describeTransfer(entry: Entry, key: string): JsonObject {
  const failure = errorTypeOf(entry);
  return {
    key,
    status: entry.status,
    transfer: entry.payload,
    requestedAt: entry.receivedAt.toISOString(),
    ...(entry.processedAt && { completedAt: entry.processedAt.toISOString(), result: entry.result }),
    ...(failure !== null && { failure: { type: failure } }),
    ...(entry.nextRetryAt && { nextRetryAt: entry.nextRetryAt.toISOString() }),
  };
}

/** Tags (RFC 4151) are names, not addresses. */
function problemType(code: string): string {
  return `tag:bank.example,2026:${code === 'invalid-payload' ? 'invalid-transfer' : code}`;
}
