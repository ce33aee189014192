/**
 * Graphile Worker: jobs are rows, which are deleted when they are done.
 *
 * Graphile Worker completes jobs in batches, after the task's transaction, so the transaction itself marks the command as
 * handled.
 *
 * Tuned as in https://worker.graphile.org/docs/performance: a local queue, and completions in batches after 25 ms.
 *
 * @module
 */
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import type { Runner } from 'graphile-worker';
import type { Job, RunningSystem, SystemContext, System } from '../system.ts';
import { applyOnce, connect } from './job.ts';

const TASK = 'add';
/** A higher concurrency is not faster on two cores, and 32 stalls. */
const CONCURRENT_JOBS = 8;
const LOCAL_QUEUE = 64;
const BATCH_MS = 25;
/** Each send includes a NOTIFY, which serializes the commits. More connections would only wait longer. */
const SENDERS = 8;

async function open({ databaseUrl, inFlight, done }: SystemContext): Promise<RunningSystem> {
  const pool = connect(databaseUrl, CONCURRENT_JOBS * 2);
  const senders = connect(databaseUrl, Math.min(inFlight, SENDERS));
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool: senders, logger });
  await utils.migrate();
  let runner: Runner | undefined;

  return {
    async send(job) {
      // If a job with this key exists in any state, nothing changes. A job that was done and deleted runs again, but
      // `applyOnce` then has no effect.
      await utils.addJob(TASK, job, { jobKey: job.id, jobKeyMode: 'unsafe_dedupe' });
    },
    async work() {
      runner = await run({
        pgPool: pool,
        taskList: {
          [TASK]: async (payload) => {
            const job = payload as Job;
            await applyOnce(pool, job);
            done(job.id);
          },
        },
        preset: {
          worker: {
            logger,
            concurrentJobs: CONCURRENT_JOBS,
            localQueue: { size: LOCAL_QUEUE },
            completeJobBatchDelay: BATCH_MS,
            failJobBatchDelay: BATCH_MS,
          },
        },
        noHandleSignals: true,
      });
    },
    async countDone() {
      const { rows } = await pool.query<{ done: string }>(
        `select count(*) as done from handled h
         where not exists (select from graphile_worker.jobs j where j.key = h.id)`,
      );
      return Number(rows[0]!.done);
    },
    async stop() {
      await runner?.stop();
      await utils.release();
      await senders.end();
      await pool.end();
    },
  };
}

export const system: System = { open };
