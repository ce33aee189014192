/**
 * The job, which is the same for all peers: the effects of a command, in one Postgres transaction.
 *
 * Statements are prepared once per connection. All peers allow this.
 *
 * @module
 */
import { Pool } from 'pg';
import type { PoolClient } from 'pg';
import type { Job } from '../system.ts';
import { ADD_TO_ACCOUNT, MARK_HANDLED, WRITE_EVENT } from '../tables.ts';

export function connect(databaseUrl: string, connections: number): Pool {
  const pool = new Pool({ connectionString: databaseUrl, max: connections });
  // Without a listener, an idle connection that breaks would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Commits when `work` resolves and rolls back when it rejects. */
export async function inTransaction(pool: Pool, work: (tx: PoolClient) => Promise<void>): Promise<void> {
  const tx = await pool.connect();
  let broken = false;
  try {
    await tx.query('begin');
    await work(tx);
    const { command } = await tx.query('commit');
    if (command !== 'COMMIT') throw new Error('Postgres rolled the transaction back');
  } catch (error) {
    await tx.query('rollback').catch(() => (broken = true));
    throw error;
  } finally {
    tx.release(broken);
  }
}

/** Writes the effects of a command. */
export async function apply(tx: PoolClient, { id, account, amount }: Job): Promise<void> {
  await tx.query({ name: 'add', text: ADD_TO_ACCOUNT, values: [account, amount] });
  await tx.query({ name: 'event', text: WRITE_EVENT, values: [String(account), { amount }, id] });
}

/** For systems that mark a job as done after its transaction. They may run a job twice; the second run has no effect. */
export async function applyOnce(pool: Pool, job: Job): Promise<void> {
  await inTransaction(pool, async (tx) => {
    const marked = await tx.query({ name: 'mark', text: MARK_HANDLED, values: [job.id] });
    if (marked.rowCount === 1) await apply(tx, job);
  });
}
