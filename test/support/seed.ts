/**
 * Rows that look days old, which a test cannot wait for.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Queryable } from '../../src/platform/queryable.ts';

/** Parameter $2 is the number of days. */
const AGO = `now() - $2 * interval '1 day'`;
const ID_OF_THAT_TIME = `(lpad(to_hex((extract(epoch from ${AGO}) * 1000)::bigint), 12, '0') ||
  substr(replace(inbox.new_id()::text, '-', ''), 13))::uuid`;

export interface SeedOptions {
  /** How many days ago the entry was received. */
  days: number;
  /** How many days ago the entry was completed. By default when it was received. */
  completedDays?: number;
}

/** Adds a completed entry with a payload, metadata, a result and one failure whose texts repeat the payload. */
export async function seedCompleted(pool: Pool, messageId: string, options: SeedOptions): Promise<void> {
  await seedMany(pool, [messageId], options);
}

export async function seedMany(
  pool: Pool,
  messageIds: string[],
  { days, completedDays = days }: SeedOptions,
): Promise<void> {
  await pool.query(
    `insert into inbox.entries (id, message_id, command_type, payload, status, received_at, processed_at, attempt,
       claimed_at, metadata, result, fingerprint)
     select ${ID_OF_THAT_TIME}, message_id, 'Seeded', '{"secret":"canary"}', 'Completed', ${AGO},
       now() - $3 * interval '1 day', 2, ${AGO}, '{"secret":"canary"}', '{"secret":"canary"}',
       inbox.fingerprint('Seeded', '{"secret":"canary"}')
     from unnest($1::text[]) as message_id`,
    [messageIds, days, completedDays],
  );
  await pool.query(
    `insert into inbox.failures (message_id, generation, attempt, error_type, error, stack, retryable)
     select message_id, 0, 1, 'Broken', 'Broken: canary', 'Error: canary', true from unnest($1::text[]) as message_id`,
    [messageIds],
  );
}

export type OpenStatus = 'Pending' | 'Processing' | 'Failed' | 'DeadLetter';

/**
 * Adds an entry that is not over; for a dead letter, also its open row and its failure. The entry has a lease of a day, so
 * that no relay or reconciler of a worker repairs an entry that the test wants to find stuck.
 */
export async function seedOpen(
  pool: Queryable,
  messageId: string,
  status: OpenStatus,
  { days }: SeedOptions,
): Promise<void> {
  await pool.query(
    `insert into inbox.entries (id, message_id, command_type, payload, status, received_at, attempt, claimed_at,
       next_retry_at, error, metadata, fingerprint, relayed_at)
     values (${ID_OF_THAT_TIME}, $1, 'Seeded', '{"secret":"canary"}', $3::inbox.entry_status, ${AGO},
       case when $3 = 'Pending' then 0 else 1 end, case when $3 <> 'Pending' then ${AGO} end,
       case when $3 = 'Failed' then ${AGO} end, case when $3 in ('Failed', 'DeadLetter') then 'Broken: canary' end,
       '{"secret":"canary"}', inbox.fingerprint('Seeded', '{"secret":"canary"}'), now() + interval '1 day')`,
    [messageId, days, status],
  );
  if (status !== 'DeadLetter') return;
  await pool.query(
    `with letter as (
       insert into inbox.dead_letters (id, message_id, generation, command_type, payload, metadata, error_type, error,
         failure_group, reason, retry_count, dead_at)
       values (${ID_OF_THAT_TIME}, $1, 0, 'Seeded', '{"secret":"canary"}', '{"secret":"canary"}', 'Broken',
         'Broken: canary', 'Seeded/Broken/1', 'unrecoverable', 1, ${AGO}))
     insert into inbox.failures (message_id, generation, attempt, error_type, error, stack, retryable)
     values ($1, 0, 1, 'Broken', 'Broken: canary', 'Error: canary', false)`,
    [messageId, days],
  );
}

/** Resolves an open dead letter, dated `days` ago, as an operator does through its workflow. */
export async function resolveLetter(
  pool: Pool,
  messageId: string,
  resolution: 'replayed' | 'discarded',
  days: number,
): Promise<void> {
  await pool.query(
    `with letter as (
       update inbox.dead_letters
       set resolution = $3, resolved_at = ${AGO}, resolved_by = 'ada', resolved_reason = 'because'
       where message_id = $1 and resolution is null),
     audited as (
       insert into inbox.audit (action, message_id, actor, reason) values (left($3, -2), $1, 'ada', 'because'))
     update inbox.entries set status = 'Pending', generation = generation + 1
     where message_id = $1 and $3 = 'replayed'`,
    [messageId, days, resolution],
  );
}

/** Completes an open entry, dated `days` ago, as its next attempt would. */
export async function complete(pool: Pool, messageId: string, days: number): Promise<void> {
  await pool.query(
    `update inbox.entries
     set status = 'Completed', processed_at = ${AGO}, attempt = attempt + 1, claimed_at = ${AGO}, error = null,
         next_retry_at = null, result = '{"secret":"canary"}'
     where message_id = $1`,
    [messageId, days],
  );
}

/** Adds an event that was created `days` ago, and published `publishedDays` ago or not at all. */
export async function seedEvent(
  pool: Pool,
  type: string,
  { days, publishedDays }: { days: number; publishedDays: number | null },
): Promise<void> {
  await pool.query(
    `insert into inbox.outbox (id, aggregatetype, aggregateid, type, payload, message_id, created_at, published_at)
     values (${ID_OF_THAT_TIME}, 'seed', '1', $1, '{"secret":"canary"}', 'seeded', ${AGO},
       now() - $3 * interval '1 day')`,
    [type, days, publishedDays],
  );
}
