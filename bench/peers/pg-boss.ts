/**
 * pg-boss: jobs are rows, which are kept for a week after they are done.
 *
 * Each job is completed in the transaction of its effects, so no additional mark is needed.
 *
 * Tuned as in https://pgboss.io/api/workers: NOTIFY wakes two workers, which fetch jobs in batches and continue without a
 * pause while batches are full. The option `db` makes it possible to prepare the statements of each job.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { PgBoss } from 'pg-boss';
import type { Db, Job as Fetched } from 'pg-boss';
import type { Job, RunningSystem, SystemContext, System } from '../system.ts';
import { apply, connect, inTransaction } from './job.ts';

const QUEUE = 'add';
const WORKERS = 2;
const BATCH = 64;
/** More connections would only wait for the two cores, and for the lock that a NOTIFY holds until its commit. */
const CONNECTIONS = 8;

/** Derives a UUID from the job's id, because pg-boss requires UUIDs. */
function uuidOf(id: string): string {
  const hex = createHash('sha256').update(id).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Makes pg-boss use this connection and a prepared statement. pg-boss itself does not prepare its long statement. */
function prepared(connection: Pool | PoolClient, name: string): Db {
  return { executeSql: (text, values) => connection.query({ name, text, values: values ?? [] }) };
}

async function open({ databaseUrl, inFlight, done }: SystemContext): Promise<RunningSystem> {
  const pool = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  const senders = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  const boss = new PgBoss({ connectionString: databaseUrl, useListenNotify: true, schedule: false });
  // pg-boss retries failed jobs. Without a listener, an error event would end the process.
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });

  async function handle(fetched: Fetched<Job>): Promise<void> {
    await inTransaction(pool, async (tx) => {
      await apply(tx, fetched.data);
      const completed = await boss.complete(QUEUE, fetched.id, null, { db: prepared(tx, 'complete') });
      // The declared type lacks `affected`, which the documentation describes.
      const { affected } = completed as { affected: number };
      if (affected !== 1) throw new Error('the job was no longer active and could not be completed');
    });
    done(fetched.data.id);
  }

  return {
    async send(job) {
      await boss.send(QUEUE, job, { id: uuidOf(job.id), db: prepared(senders, 'send') });
    },
    async work() {
      await boss.work<Job>(
        QUEUE,
        { batchSize: BATCH, localConcurrency: WORKERS, burstWhenBatchFull: true },
        async (jobs) => {
          await Promise.all(jobs.map(handle));
        },
      );
    },
    async countDone() {
      const { rows } = await pool.query<{ done: string }>(
        `select count(*) as done from pgboss.job where name = $1 and state = 'completed'`,
        [QUEUE],
      );
      return Number(rows[0]!.done);
    },
    async stop() {
      await boss.stop();
      await senders.end();
      await pool.end();
    },
  };
}

export const system: System = { open };
