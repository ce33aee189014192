/**
 * What a person does about a dead letter: find out why, remove the cause, replay.
 *
 * @module
 */
import type { Pool } from 'pg';
import { REPLAY_SIGNAL, type ReplayRequest, WORKFLOW_TYPE } from '../../src/core/protocol.ts';
import { hasEnded, waitForEntry } from './entries.ts';
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
  /** The commands of this demo, in the order in which they were sent. */
  messageIds: readonly string[];
  /** Gets a sentence for each step. */
  tell: (sentence: string) => void;
  signal?: AbortSignal;
}

/**
 * Replays the first transfer that ran out of money, and returns its message_id. Returns null where an earlier run has
 * done so, or no transfer ran out of money: a second run must change nothing.
 */
export async function replayOne(options: ReplayOptions): Promise<string | null> {
  const { pool, messageIds, tell, signal } = options;
  if (await wasReplayedBefore(pool, messageIds)) return null;
  const shortage = await findShortage(pool, messageIds);
  if (!shortage) return null;
  const { messageId, accountId, amountCents } = shortage;
  tell(`${messageId} is a dead letter: account ${accountId} has less than ${dollars(amountCents)} dollars.`);

  const topUp = topUpFor(shortage);
  await send(options, topUp);
  const deposited = await waitForEntry(pool, topUp.messageId, (entry) => hasEnded(entry.status), signal);
  if (deposited.status !== 'Completed') throw new Error(`${topUp.messageId} failed: ${deposited.error}`);
  tell(`Topped up: ${topUp.messageId} has put ${dollars(amountCents)} dollars into it.`);

  const { generation } = await waitForEntry(pool, messageId, () => true, signal);
  await requestReplay(options, messageId);
  const replayed = await waitForEntry(
    pool,
    messageId,
    (entry) => entry.generation > generation && hasEnded(entry.status),
    signal,
  );
  if (replayed.status !== 'Completed') throw new Error(`${messageId} failed again: ${replayed.error}`);
  tell(`Replayed: ${messageId} is Completed.`);
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

/** The whole amount, not what is missing: the id must stand for one payload, whatever the balance is at a second try. */
function topUpFor({ messageId, accountId, amountCents }: Shortage): FeedCommand {
  return {
    messageId: `${messageId}-top-up`,
    envelope: {
      commandType: 'DepositFunds',
      payload: { accountId, amountCents },
      correlationId: `cdnow-${accountId}`,
      causationId: messageId,
    },
  };
}

/** With start, because a dead letter can be replayed even when its workflow was terminated or has expired. */
async function requestReplay({ client, taskQueue }: Sender, messageId: string): Promise<void> {
  const request: ReplayRequest = { actor: ACTOR, reason: 'account topped up' };
  await client.workflow.signalWithStart(WORKFLOW_TYPE, {
    taskQueue,
    workflowId: messageId,
    signal: REPLAY_SIGNAL,
    signalArgs: [request],
  });
}

function dollars(cents: number): string {
  return (cents / 100).toFixed(2);
}
