/**
 * Faults that make Postgres answer but refuse writes: a read-only setting of the database, and a failover to a standby.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Fault, Scene } from './fault.ts';
import type { Random } from './random.ts';

export const READ_ONLY_FAULTS: Record<string, Fault> = {
  'new connections read-only': { weight: 4, run: setReadOnly },
  'Postgres is a standby for seconds': { weight: 4, run: becomeStandby },
};

/** A connection keeps the setting that it started with, so all others are ended after each change. */
async function setReadOnly({ pool }: Scene, random: Random): Promise<boolean> {
  try {
    await alter(pool, 'set default_transaction_read_only = on');
    await disconnectOthers(pool);
    await sleep(2_000 + random.below(8_000));
  } finally {
    await alter(pool, 'reset default_transaction_read_only');
    await disconnectOthers(pool);
  }
  return true;
}

async function alter(pool: Pool, change: string): Promise<void> {
  const { rows } = await pool.query<{ statement: string }>(
    `select format('alter database %I ${change}', current_database()) as statement`,
  );
  await pool.query(rows[0]!.statement);
}

async function disconnectOthers(pool: Pool): Promise<void> {
  await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  );
}

/** As after a failover to a standby that is promoted only later. */
async function becomeStandby({ postgres, pool }: Scene, random: Random): Promise<boolean> {
  await postgres.kill();
  await writeFile(join(postgres.dataDir, 'pgdata', 'standby.signal'), '');
  await postgres.restart();
  await sleep(2_000 + random.below(8_000));
  // The restart has broken the pool's first connections, so their queries fail.
  const deadline = Date.now() + 20_000;
  for (;;) {
    const promoted = await pool
      .query<{ done: boolean }>('select not pg_is_in_recovery() or pg_promote() as done')
      .then(({ rows }) => rows[0]!.done)
      .catch(() => false);
    if (promoted) return true;
    if (Date.now() > deadline) throw new Error('the standby could not be promoted');
    await sleep(200);
  }
}
