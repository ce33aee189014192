/**
 * DBOS Transact: a workflow for each command, with its state in Postgres.
 *
 * Its own package for `pg` transactions does not fit this version, so the step does by hand what it does: its transaction
 * also marks the command as handled, and DBOS writes its checkpoint, and the end of the workflow, after that.
 *
 * Tuned as in https://docs.dbos.dev/typescript/reference/queues: the queue is polled every 5 ms, not every second.
 *
 * `step=none` leaves out the step, and so its checkpoint: quicker, and right as well, since the transaction has its own
 * mark; but not as its documentation has it, which wants every effect in a step.
 *
 * @module
 */
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk';
import type { Job, Running, Surroundings, System } from '../system.ts';
import { applyOnce, connect } from './job.ts';

const QUEUE = 'jobs';
const WORKFLOW = 'add';
const VERSION = '1';
const POLLING_MS = 5;
/** More of them only wait for the two cores. */
const CONNECTIONS = 8;
const SENDERS = 4;

async function open({ databaseUrl, inFlight, settings, done }: Surroundings): Promise<Running> {
  const pool = connect(databaseUrl, Math.min(inFlight, CONNECTIONS));
  // Its tables are in a schema of their own.
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
  // Sends without a queue being there: it is registered, and polled, from `work` on.
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
