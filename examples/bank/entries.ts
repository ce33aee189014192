/**
 * Reads the demo's entries from the inbox's own tables. Applications may read these tables but must not write to them.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { EntryStatus } from 'temporal-inbox';

/** Completed and DeadLetter are final. The inbox processes entries in all other states automatically. */
export function isFinal(status: EntryStatus): boolean {
  return status === 'Completed' || status === 'DeadLetter';
}

/** Returns the status of each of these messages. Messages without an entry are missing from the result. */
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

/** Polls until the entry exists and satisfies the predicate. Throws after 60 s. */
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
        `waited 60 s for ${messageId}, which is ${entry?.status ?? 'not in the inbox'}; check that a worker is running`,
      );
    }
    await sleep(50, undefined, signal ? { signal } : {});
  }
}
