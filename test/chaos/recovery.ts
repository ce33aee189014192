/**
 * How long it takes after the last fault until every accepted command has ended.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { isAllAlerted, isAllRecorded } from './checker.ts';
import type { Journal } from './journal.ts';
import { isAllPublished } from './published.ts';

export interface Recovery {
  /** Accepted and not ended when the faults stopped. */
  open: number;
  endedWithin30s: number;
  /** Seconds until the last had ended; null: it did not. */
  seconds: number | null;
}

/** While commands still end, the machine is only slow. Without any progress for this long, a recovery has failed. */
const STANDSTILL_MS = 120_000;
const LIMIT_MS = 300_000;

export async function watchRecovery(pool: Pool, journal: Journal): Promise<Recovery> {
  const begun = Date.now();
  await journal.store(pool);
  const first = await countOpen(pool);
  let endedWithin30s: number | null = null;
  let least = first;
  let lastProgress = begun;
  for (let open = first; ; open = await countOpen(pool)) {
    const now = Date.now();
    if (open < least) {
      least = open;
      lastProgress = now;
    }
    if (endedWithin30s === null && (now - begun >= 30_000 || open === 0)) endedWithin30s = first - open;
    const isStuck = now - begun > LIMIT_MS && now - lastProgress > STANDSTILL_MS;
    if (open === 0 || isStuck) {
      const seconds = open === 0 ? Math.ceil((now - begun) / 1_000) : null;
      return { open: first, endedWithin30s: endedWithin30s ?? first - open, seconds };
    }
    await sleep(500);
  }
}

/**
 * Waits until every alert is delivered, every record is written and every event is published. After a storm, this can take as
 * long as the longest delay between two tries.
 */
export async function watchWhatFollows(pool: Pool): Promise<void> {
  const begun = Date.now();
  const isOver = async () =>
    (await isAllAlerted(pool)) && (await isAllRecorded(pool)) && isAllPublished(pool);
  while (Date.now() - begun < 2 * LIMIT_MS && !(await isOver())) await sleep(500);
}

/** A command that was started with Temporal has no entry before its first claim. */
async function countOpen(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ open: number }>(
    `select (
       (select count(*) from inbox.entries where status not in ('Completed', 'DeadLetter'))
       + (select count(*) from journal left join inbox.entries e using (message_id)
          where answer = 'ok' and e.id is null))::integer as open`,
  );
  return rows[0]!.open;
}

/** What is told of a command that went wrong: all that Postgres knows of it. */
export async function tellStory(pool: Pool, messageId: string): Promise<string> {
  const tables = ['inbox.entries', 'inbox.failures', 'inbox.dead_letters', 'inbox.audit', 'chaos.effects'];
  const parts = await Promise.all(
    tables.map(async (table) => {
      const { rows } = await pool.query<{ row: unknown }>(
        `select to_jsonb(t) as row from ${table} t where message_id = $1`,
        [messageId],
      );
      return rows.map(({ row }) => `${table} ${JSON.stringify(row)}`);
    }),
  );
  return parts.flat().join('\n');
}
