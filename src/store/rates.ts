/**
 * How much comes, goes and fails: for people who look, through indexes that are there for other reasons.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { ID_AT } from './ids.ts';

/** In the last so many minutes. */
export interface Rates {
  minutes: number;
  received: number;
  /** Of those received in that time, the ones that are Completed. */
  completed: number;
  /** Failed attempts. */
  failed: number;
  deadLettered: number;
}

const WINDOWS_MINUTES = [1, 15, 60];

/** One number for each window, in one pass: an hour may hold millions. */
const counts = (at: string, condition = 'true') =>
  `array[${WINDOWS_MINUTES.map(
    (minutes) =>
      `count(*) filter (where ${at} >= now() - interval '${minutes} minutes' and ${condition})::float8`,
  ).join(', ')}]`;
const LONGEST = `interval '${Math.max(...WINDOWS_MINUTES) + 1} minutes'`;

/**
 * Entries and dead letters are found by their ids, which hold a time; failures, which have no index by time, by going back
 * over the last 200,000: more of them in an hour are not counted.
 */
export async function readRates(db: Queryable): Promise<Rates[]> {
  const { rows } = await db.query<Rates>(
    `select windows.minutes, windows.received, windows.completed, windows.failed, windows.dead as "deadLettered"
     from
       (select ${counts('received_at')} as received, ${counts('received_at', `status = 'Completed'`)} as completed
        from inbox.entries where id >= ${ID_AT(`now() - ${LONGEST}`)}) as entries,
       (select ${counts('dead_at')} as dead
        from inbox.dead_letters where id >= ${ID_AT(`now() - ${LONGEST}`)}) as letters,
       (select ${counts('failed_at')} as failed
        from (select failed_at from inbox.failures order by id desc limit 200000) as latest) as failures,
       unnest($1::integer[], entries.received, entries.completed, failures.failed, letters.dead)
         as windows (minutes, received, completed, failed, dead)
     order by minutes`,
    [WINDOWS_MINUTES],
  );
  return rows;
}

/** Since when the oldest has waited; null where none does. */
export interface Oldest {
  pending: Date | null;
  failed: Date | null;
  openDeadLetter: Date | null;
}

/** Through the partial indexes of what is open. */
export async function findOldest(db: Queryable): Promise<Oldest> {
  const { rows } = await db.query<Oldest>(
    `select (select min(received_at) from inbox.entries where status = 'Pending') as pending,
            (select min(received_at) from inbox.entries where status = 'Failed') as failed,
            (select min(dead_at) from inbox.dead_letters where resolution is null) as "openDeadLetter"`,
  );
  return rows[0]!;
}
