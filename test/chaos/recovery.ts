/**
 * How long it takes after the last fault until every entry has ended.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';

export interface Recovery {
  complete: boolean;
  describe: string;
}

const LIMIT_MS = 180_000;

export async function watchRecovery(pool: Pool): Promise<Recovery> {
  const begun = Date.now();
  const total = await count(pool, 'true');
  let within30: number | null = null;
  for (;;) {
    const open = await count(pool, `status not in ('Completed', 'DeadLetter')`);
    const elapsed = Date.now() - begun;
    if (within30 === null && (elapsed >= 30_000 || open === 0)) within30 = total - open;
    if (open === 0 || elapsed > LIMIT_MS) {
      const share = total === 0 ? 100 : (100 * (within30 ?? 0)) / total;
      return {
        complete: open === 0,
        describe: `${share.toFixed(2)} % ended within 30 s, ${open === 0 ? 'all' : `all but ${open}`} within ${Math.ceil(elapsed / 1000)} s`,
      };
    }
    await sleep(500);
  }
}

async function count(pool: Pool, condition: string): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    `select count(*)::integer as n from inbox.entries where ${condition}`,
  );
  return rows[0]!.n;
}
