/**
 * Seeds many rows, and finds the statements that read whole tables.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Adds completed entries, one per second up to now. One in a hundred has a correlation id and a causation id. */
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

/** Adds `count` dead letters of the entries of {@link seedThousands}. About `open` of them are open, the rest replayed. */
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

/** Skips triggers and foreign keys, which take ten times as long as the rows themselves. */
async function inBulk(pool: Pool, sql: string): Promise<void> {
  await pool.query(`begin; set local session_replication_role = replica; ${sql}; commit`);
}

/** Returns `Seq Scan on <table>` for each table that a statement of `work` reads as a whole. */
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
