/**
 * Inserts many dead letters at once, as failed commands leave them, but without workflows: a replay starts the workflow.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { JsonObject } from '../../src/core/json.ts';

export interface DeadLetterSeed {
  commandType: string;
  payload: JsonObject;
  failureGroup: string;
}

/** The commands died in the order of `messageIds`, one millisecond apart. */
export async function seedDeadLetters(
  pool: Pool,
  messageIds: readonly string[],
  { commandType, payload, failureGroup }: DeadLetterSeed,
): Promise<void> {
  await pool.query(
    `with seeds as (
       select message_id, now() - interval '1 hour' + place * interval '1 millisecond' as died
       from unnest($1::text[]) with ordinality as s (message_id, place)),
     entries as (
       insert into inbox.entries (message_id, command_type, payload, status, attempt, claimed_at, retry_count, error,
         fingerprint)
       select message_id, $2, $3::jsonb, 'DeadLetter', 1, died, 1, 'Broken: seeded', inbox.fingerprint($2, $3::jsonb)
       from seeds),
     failures as (
       insert into inbox.failures (message_id, generation, attempt, failed_at, error_type, error, retryable)
       select message_id, 0, 1, died, 'Broken', 'Broken: seeded', false from seeds)
     insert into inbox.dead_letters (message_id, generation, command_type, payload, metadata, error_type, error,
       failure_group, reason, retry_count, dead_at)
     select message_id, 0, $2, $3::jsonb, '{}', 'Broken', 'Broken: seeded', $4, 'unrecoverable', 1, died from seeds`,
    [messageIds, commandType, JSON.stringify(payload), failureGroup],
  );
}
