/**
 * What the demo reads from the inbox's own tables. Anybody may read them; only the inbox writes them.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { EntryStatus } from '../../src/core/protocol.ts';

/** Completed and DeadLetter are the two ends of an entry; everything else goes on by itself. */
export function hasEnded(status: EntryStatus): boolean {
  return status === 'Completed' || status === 'DeadLetter';
}

/** The status of each of these messages that has an entry. */
export async function readStatuses(
  pool: Pool,
  messageIds: readonly string[],
): Promise<Map<string, EntryStatus>> {
  const { rows } = await pool.query<{ message_id: string; status: EntryStatus }>(
    'select message_id, status::text as status from inbox.entries where message_id = any ($1)',
    [messageIds],
  );
  return new Map(rows.map((row) => [row.message_id, row.status]));
}

export interface EntryState {
  status: EntryStatus;
  generation: number;
  error: string | null;
}

/** Polls until the entry exists and is as wanted. Throws when it takes longer than 60 s. */
export async function waitForEntry(
  pool: Pool,
  messageId: string,
  isWanted: (entry: EntryState) => boolean,
  signal?: AbortSignal,
): Promise<EntryState> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { rows } = await pool.query<EntryState>(
      'select status::text as status, generation, error from inbox.entries where message_id = $1',
      [messageId],
    );
    const [entry] = rows;
    if (entry && isWanted(entry)) return entry;
    if (Date.now() > deadline) {
      throw new Error(
        `waited 60 s for ${messageId}, which is ${entry?.status ?? 'not in the inbox'}; is a worker running?`,
      );
    }
    await sleep(50, undefined, signal ? { signal } : {});
  }
}
