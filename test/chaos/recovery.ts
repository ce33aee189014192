/**
 * Measures how long it takes after the last fault until every accepted command has ended.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { isAllAlerted, isAllRecorded } from './checker.ts';
import type { Journal } from './journal.ts';
import { isAllPublished } from './published.ts';

export interface Recovery {
  /** Commands that were accepted but had not ended when the faults stopped. */
  open: number;
  endedWithin30s: number;
  /** Seconds until the last one had ended, or null if it did not end. */
  seconds: number | null;
}

/** As long as commands still end, the machine is only slow. Without any progress for this long, a recovery has failed. */
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
 * Waits until every alert is delivered, every record has its workflow and every event is published. After a storm, this can
 * take as long as the longest delay between two retries.
 */
export async function waitForDeliveries(pool: Pool): Promise<void> {
  const begun = Date.now();
  const isOver = async () =>
    (await isAllAlerted(pool)) && (await isAllRecorded(pool)) && isAllPublished(pool);
  while (Date.now() - begun < 2 * LIMIT_MS && !(await isOver())) await sleep(500);
}

/** Also counts accepted commands without an entry: one that a Temporal client started has none before its first claim. */
async function countOpen(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ open: number }>(
    `select (
       (select count(*) from inbox.entries where status not in ('Completed', 'DeadLetter'))
       + (select count(*) from journal left join inbox.entries e using (message_id)
          where answer = 'ok' and e.id is null))::integer as open`,
  );
  return rows[0]!.open;
}

/** Everything that Postgres knows about a message, to explain a violation. */
export async function describeMessage(pool: Pool, messageId: string): Promise<string> {
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
