/**
 * Many rows, and how Postgres reads them.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Completed ones, a second apart and the last one now; one in a hundred belongs to a flow, and was caused. */
export async function seedThousands(pool: Pool, count: number): Promise<void> {
  await inBulk(
    pool,
    `insert into inbox.entries (id, message_id, command_type, payload, status, received_at, processed_at, attempt,
       claimed_at, metadata, fingerprint, correlation_id, causation_id)
     select ${idAt('at')}, 'message-' || n, case when n % 10 = 0 then 'Refund' else 'Pay' end, '{}', 'Completed', at, at, 1,
       at, '{}', '\\x00', case when n % 100 = 0 then 'flow-' || n end, case when n % 100 = 0 then 'message-' || n - 1 end
     from (select n, now() - (${count} - n) * interval '1 second' as at from generate_series(1, ${count}) as n) as seeded`,
  );
  await pool.query('analyze inbox.entries');
}

/** Of so many dead letters of the entries of {@link seedThousands} all but these were replayed. */
export async function seedDeadLetters(pool: Pool, count: number, open: number): Promise<void> {
  await inBulk(
    pool,
    `insert into inbox.dead_letters (id, message_id, generation, command_type, payload, metadata, error_type, error,
       failure_group, reason, retry_count, dead_at, resolution, resolved_at, resolved_by)
     select ${idAt('at')}, 'message-' || n, 0, 'Pay', '{}', '{}', 'Broken', 'Broken: by ' || n, 'Pay/Broken/' || n % 5,
       'exhausted', 5, at, case when resolved then 'replayed' end, case when resolved then at end,
       case when resolved then 'ann' end
     from (select n, n % ${Math.ceil(count / open)} <> 0 as resolved, now() - (${count} - n) * interval '1 second' as at
           from generate_series(1, ${count}) as n) as seeded`,
  );
  await pool.query('analyze inbox.dead_letters');
}

const idAt = (at: string) => `(lpad(to_hex((extract(epoch from ${at}) * 1000)::bigint), 12, '0') ||
  substr(replace(inbox.new_id()::text, '-', ''), 13))::uuid`;

/** Without triggers and foreign keys: they take ten times as long as the rows. */
async function inBulk(pool: Pool, sql: string): Promise<void> {
  await pool.query(`begin; set local session_replication_role = replica; ${sql}; commit`);
}

/** Which tables the statements of this work read as a whole: one line for each, with how Postgres reads it. */
export async function wholeTablesRead(pool: Pool, work: (pool: Pool) => Promise<unknown>): Promise<string[]> {
  const statements: [text: string, values: unknown[]][] = [];
  const recording = {
    query(text: string, values: unknown[] = []) {
      statements.push([text, values]);
      return pool.query(text, values);
    },
  } as Pool;
  await work(recording);
  const plans = await Promise.all(
    statements.map(([text, values]) => pool.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values)),
  );
  return plans
    .flatMap(({ rows }) => rows.map((row) => row['QUERY PLAN']))
    .flatMap((line) => /(Seq Scan on \w+)/.exec(line)?.[1] ?? []);
}
