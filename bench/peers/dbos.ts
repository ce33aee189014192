/**
 * DBOS Transact: one workflow per command, with its state in Postgres.
 *
 * DBOS's own package for `pg` transactions does not support this version, so the step does the same manually: its
 * transaction also marks the command as handled. Afterward, DBOS writes the step's checkpoint and the end of the
 * workflow.
 *
 * Tuned as in https://docs.dbos.dev/typescript/reference/queues: the queue is polled every 5 ms instead of every second.
 *
 * `step=none` omits the step and therefore its checkpoint. This is faster and still correct, because the transaction
 * marks the command itself. However, DBOS's documentation requires every effect to be in a step.
 *
 * @module
 */
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk';
import type { Job, RunningSystem, SystemContext, System } from '../system.ts';
import { applyOnce, connect } from './job.ts';

const QUEUE = 'jobs';
const WORKFLOW = 'add';
const VERSION = '1';
const POLLING_MS = 5;
/** More connections would only wait for the two cores. */
const CONNECTIONS = 8;
const SENDERS = 4;

async function open({ databaseUrl, inFlight, settings, done }: SystemContext): Promise<RunningSystem> {
  const pool = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  // DBOS's tables are in their own schema.
  const systemDatabaseUrl = databaseUrl;
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl,
    systemDatabasePoolSize: CONNECTIONS,
    applicationVersion: VERSION,
    logLevel: 'error',
  });
  DBOS.registerWorkflow(
    async (job: Job) => {
      const step = async () => {
        await applyOnce(pool, job);
        done(job.id);
      };
      if (settings['step'] === 'none') await step();
      else await DBOS.runStep(step, { name: 'apply' });
    },
    { name: WORKFLOW },
  );
  await DBOS.launch();
  // The client can send before the queue exists. `work` registers the queue, and polling starts then.
  const client = await DBOSClient.create({
    systemDatabaseUrl,
    systemDatabasePoolSize: SENDERS,
    applicationName: 'bench',
  });

  return {
    async send(job) {
      await client.enqueue(
        { queueName: QUEUE, workflowName: WORKFLOW, workflowID: job.id, appVersion: VERSION },
        job,
      );
    },
    async work() {
      await DBOS.registerQueue(QUEUE, { minPollingIntervalMs: POLLING_MS });
    },
    async countDone() {
      const { rows } = await pool.query<{ done: string }>(
        `select count(*) as done from dbos.workflow_status where queue_name = $1 and status = 'SUCCESS'`,
        [QUEUE],
      );
      return Number(rows[0]!.done);
    },
    async stop() {
      await client.destroy();
      await DBOS.shutdown();
      await pool.end();
    },
  };
}

export const system: System = { open };
