/**
 * Handles a dead letter the way an operator does: find the cause, fix it, replay the command.
 *
 * @module
 */
import type { Pool } from 'pg';
import { replayCommand } from 'temporal-inbox/temporal';
import { isFinal, waitForEntry } from './entries.ts';
import { send, type Sender } from './feed.ts';
import type { FeedCommand } from './purchases.ts';

const ACTOR = 'demo';

interface Shortage {
  messageId: string;
  accountId: string;
  amountCents: number;
}

export interface ReplayOptions extends Sender {
  pool: Pool;
  /** The message_ids of this demo's commands, in the order in which they were sent. */
  messageIds: readonly string[];
  /** Called with one sentence for each step. */
  print: (sentence: string) => void;
  signal?: AbortSignal;
}

/**
 * Replays the first transfer that failed with `InsufficientFunds` and returns its message_id. Returns null if no transfer
 * failed this way or an earlier run has already replayed one, because a second run of the demo must change nothing.
 */
export async function replayOne(options: ReplayOptions): Promise<string | null> {
  const { pool, messageIds, print, signal } = options;
  if (await wasReplayedBefore(pool, messageIds)) return null;
  const shortage = await findShortage(pool, messageIds);
  if (!shortage) return null;
  const { messageId, accountId, amountCents } = shortage;
  print(`${messageId} is a dead letter: account ${accountId} has less than ${dollars(amountCents)} dollars.`);

  const topUp = topUpFor(shortage);
  await send(options, topUp);
  const deposited = await waitForEntry(pool, topUp.messageId, (entry) => isFinal(entry.status), signal);
  if (deposited.status !== 'Completed') throw new Error(`${topUp.messageId} failed: ${deposited.error}`);
  print(`Topped up: ${topUp.messageId} deposited ${dollars(amountCents)} dollars.`);

  const { generation } = await waitForEntry(pool, messageId, () => true, signal);
  await replayCommand(
    options.client,
    messageId,
    { actor: ACTOR, reason: 'account topped up' },
    { taskQueue: options.taskQueue },
  );
  const replayed = await waitForEntry(
    pool,
    messageId,
    (entry) => entry.generation > generation && isFinal(entry.status),
    signal,
  );
  if (replayed.status !== 'Completed') throw new Error(`${messageId} failed again: ${replayed.error}`);
  print(`Replayed: ${messageId} is Completed.`);
  return messageId;
}

async function wasReplayedBefore(pool: Pool, messageIds: readonly string[]): Promise<boolean> {
  const { rows } = await pool.query(
    `select from inbox.dead_letters
     where message_id = any ($1) and resolution = 'replayed' and resolved_by = $2 limit 1`,
    [messageIds, ACTOR],
  );
  return rows.length > 0;
}

async function findShortage(pool: Pool, messageIds: readonly string[]): Promise<Shortage | null> {
  const { rows } = await pool.query<Shortage>(
    `select message_id as "messageId", payload ->> 'from' as "accountId",
            (payload ->> 'amountCents')::integer as "amountCents"
     from inbox.dead_letters
     where message_id = any ($1) and resolution is null and error_type = 'InsufficientFunds'
     order by array_position($1, message_id) limit 1`,
    [messageIds],
  );
  return rows[0] ?? null;
}

/**
 * Deposits the full amount, not the difference, because the message_id must always have the same payload, even if the
 * balance is different when the command is sent again.
 */
function topUpFor({ messageId, accountId, amountCents }: Shortage): FeedCommand {
  return {
    messageId: `${messageId}-top-up`,
    commandType: 'DepositFunds',
    payload: { accountId, amountCents },
    options: { correlationId: `cdnow-${accountId}`, causationId: messageId },
  };
}

function dollars(cents: number): string {
  return (cents / 100).toFixed(2);
}
