/**
 * Counts the outcomes of a set of commands from the inbox's tables.
 *
 * @module
 */
import type { Pool } from 'pg';

export interface FailureCount {
  /** For example `InsufficientFunds`. */
  type: string;
  count: number;
}

export interface OpenDeadLetter {
  messageId: string;
  type: string;
}

export interface Outcome {
  completed: number;
  /** Commands with at least one transient failure, regardless of their final status. */
  retried: number;
  /** The failed attempts of these commands by type, most frequent first. */
  transientFailures: FailureCount[];
  /** Open dead letters by type, most frequent first. */
  deadLetters: FailureCount[];
  /** Dead letters that were replayed. */
  replayed: number;
  /** An open dead letter to show: the first with `InsufficientFunds`, otherwise any. Null if none is open. */
  example: OpenDeadLetter | null;
}

/** Expects `messageIds` in the order in which they were sent. */
export async function readOutcome(pool: Pool, messageIds: readonly string[]): Promise<Outcome> {
  const counts = await pool.query<{ completed: number; retried: number; replayed: number }>(
    `select
       (select count(*) from inbox.entries where message_id = any ($1) and status = 'Completed')::integer as completed,
       (select count(distinct message_id) from inbox.failures
        where message_id = any ($1) and retryable)::integer as retried,
       (select count(*) from inbox.dead_letters
        where message_id = any ($1) and resolution = 'replayed')::integer as replayed`,
    [messageIds],
  );
  const transientFailures = await pool.query<FailureCount>(
    `select error_type as type, count(*)::integer as count from inbox.failures
     where message_id = any ($1) and retryable group by error_type order by count desc, type`,
    [messageIds],
  );
  const deadLetters = await pool.query<FailureCount>(
    `select error_type as type, count(*)::integer as count from inbox.dead_letters
     where message_id = any ($1) and resolution is null group by error_type order by count desc, type`,
    [messageIds],
  );
  const examples = await pool.query<OpenDeadLetter>(
    `select message_id as "messageId", error_type as type from inbox.dead_letters
     where message_id = any ($1) and resolution is null
     order by error_type <> 'InsufficientFunds', array_position($1, message_id) limit 1`,
    [messageIds],
  );
  return {
    ...(counts.rows[0] ?? { completed: 0, retried: 0, replayed: 0 }),
    transientFailures: transientFailures.rows,
    deadLetters: deadLetters.rows,
    example: examples.rows[0] ?? null,
  };
}
