/**
 * pg-boss: jobs are rows, which stay for a week when they are done.
 *
 * Each job is completed in its own transaction, together with its effects, so nothing has to mark it besides.
 *
 * Tuned as in https://pgboss.io/api/workers: woken by NOTIFY, fetches in batches by two workers, and goes on without a
 * pause while batches are full. The statements of each job are prepared, by its option `db`.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { PgBoss } from 'pg-boss';
import type { Db, Job as Fetched } from 'pg-boss';
import type { Job, Running, Surroundings, System } from '../system.ts';
import { apply, connect, inTransaction } from './job.ts';

const QUEUE = 'add';
const WORKERS = 2;
const BATCH = 64;
/** More of them only wait for the two cores, and for the lock that a NOTIFY holds until its commit. */
const CONNECTIONS = 8;

/** The ids of its jobs are uuids. */
function uuidOf(id: string): string {
  const hex = createHash('sha256').update(id).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Has pg-boss write over a connection of ours. It would not prepare the statement, and it is a long one. */
function prepared(connection: Pool | PoolClient, name: string): Db {
  return { executeSql: (text, values) => connection.query({ name, text, values: values ?? [] }) };
}

async function open({ databaseUrl, inFlight, done }: Surroundings): Promise<Running> {
  const pool = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  const senders = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  const boss = new PgBoss({ connectionString: databaseUrl, useListenNotify: true, schedule: false });
  // What goes wrong in a job is retried; without a listener it would end the process.
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });

  async function handle(fetched: Fetched<Job>): Promise<void> {
    await inTransaction(pool, async (tx) => {
      await apply(tx, fetched.data);
      const completed = await boss.complete(QUEUE, fetched.id, null, { db: prepared(tx, 'complete') });
      // Its type leaves out what its documentation names.
      const { affected } = completed as { affected: number };
      if (affected !== 1) throw new Error('The job is not ours any more');
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
