/**
 * Rates of received, completed and failed entries, for people. The queries use indexes that exist for other purposes.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { ID_AT } from './ids.ts';

/** Counts for the last `minutes` minutes. */
export interface Rates {
  minutes: number;
  received: number;
  /** How many of those received in that time are Completed now. */
  completed: number;
  /** Failed attempts. */
  failed: number;
  deadLettered: number;
}

const WINDOWS_MINUTES = [1, 15, 60];

/** One count per window, in a single pass: an hour may contain millions of rows. */
const counts = (at: string, condition = 'true') =>
  `array[${WINDOWS_MINUTES.map(
    (minutes) =>
      `count(*) filter (where ${at} >= now() - interval '${minutes} minutes' and ${condition})::float8`,
  ).join(', ')}]`;
const LONGEST_WINDOW = `interval '${Math.max(...WINDOWS_MINUTES) + 1} minutes'`;

/**
 * Entries and dead letters are found by their ids, which contain a time. Failures have no index by time, so only the
 * latest 200,000 are read; if an hour has more, the others are not counted.
 */
export async function readRates(db: Queryable): Promise<Rates[]> {
  const { rows } = await db.query<Rates>(
    `select windows.minutes, windows.received, windows.completed, windows.failed, windows.dead as "deadLettered"
     from
       (select ${counts('received_at')} as received, ${counts('received_at', `status = 'Completed'`)} as completed
        from inbox.entries where id >= ${ID_AT(`now() - ${LONGEST_WINDOW}`)}) as entries,
       (select ${counts('dead_at')} as dead
        from inbox.dead_letters where id >= ${ID_AT(`now() - ${LONGEST_WINDOW}`)}) as letters,
       (select ${counts('failed_at')} as failed
        from (select failed_at from inbox.failures order by id desc limit 200000) as latest) as failures,
       unnest($1::integer[], entries.received, entries.completed, failures.failed, letters.dead)
         as windows (minutes, received, completed, failed, dead)
     order by minutes`,
    [WINDOWS_MINUTES],
  );
  return rows;
}

/** When the oldest one started to wait; null if none is waiting. */
export interface Oldest {
  pending: Date | null;
  failed: Date | null;
  openDeadLetter: Date | null;
}

/** Uses the partial indexes of open rows. */
export async function findOldest(db: Queryable): Promise<Oldest> {
  const { rows } = await db.query<Oldest>(
    `select (select min(received_at) from inbox.entries where status = 'Pending') as pending,
            (select min(received_at) from inbox.entries where status = 'Failed') as failed,
            (select min(dead_at) from inbox.dead_letters where resolution is null) as "openDeadLetter"`,
  );
  return rows[0]!;
}
