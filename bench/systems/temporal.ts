/**
 * Temporal without the inbox. The setting `design` selects the workflow: `floor` is an empty workflow with an eager
 * start, which is the minimum cost of one workflow per command. `three` is the obvious design: an ordinary start and
 * three ordinary activities.
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { InjectedSinks } from '@temporalio/worker';
import type { Pool } from 'pg';
import { createPool, withTransaction } from '../../src/platform/postgres.ts';
import { installRuntime } from '../../src/temporal/runtime.ts';
import type { Job, SystemContext, System } from '../system.ts';
import { ADD_TO_ACCOUNT, WRITE_EVENT } from '../tables.ts';
import type { BenchSinks, ThreeActivities } from '../workflows/index.ts';

/** The same slots as the inbox's worker by default. The number of pollers is the SDK's default. */
const SLOTS = {
  maxConcurrentWorkflowTaskExecutions: 114,
  maxConcurrentActivityTaskExecutions: 100,
  maxCachedWorkflows: 1_000,
};

function activities(pool: Pool, done: SystemContext['done']): ThreeActivities {
  return {
    async accept({ id }) {
      await pool.query(`insert into commands (id, status) values ($1, 'Pending') on conflict do nothing`, [
        id,
      ]);
    },
    async handle({ id, account, amount }) {
      await withTransaction(pool, async (tx) => {
        const { rowCount } = await tx.query(
          `update commands set status = 'Handled' where id = $1 and status = 'Pending'`,
          [id],
        );
        if (rowCount === 0) return;
        await tx.query(ADD_TO_ACCOUNT, [account, amount]);
        await tx.query(WRITE_EVENT, [String(account), JSON.stringify({ amount }), id]);
      });
    },
    async complete(id) {
      await pool.query(`update commands set status = 'Completed' where id = $1`, [id]);
      done(id);
    },
  };
}

export const system: System = {
  async open({ databaseUrl, temporalAddress, taskQueue, settings, done }) {
    installRuntime({ shutdownSignals: [] });
    const pool = createPool({ connectionString: databaseUrl, max: 40, applicationName: 'bench' });
    await pool.query('create table commands (id text primary key, status text not null)');
    const connection = await NativeConnection.connect({ address: temporalAddress });
    const client = new Client({ connection });
    const floor = settings['design'] === 'floor';
    let over = 0;
    const sinks: InjectedSinks<BenchSinks> = {
      bench: {
        over: {
          fn: (_info, id) => {
            over += 1;
            done(id);
          },
        },
      },
    };
    const worker = await Worker.create({
      connection,
      taskQueue,
      workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)),
      activities: activities(pool, done),
      sinks,
      ...SLOTS,
    });
    let working: Promise<void> | undefined;

    async function start(job: Job): Promise<void> {
      const options = {
        workflowId: job.id,
        taskQueue,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'USE_EXISTING',
      } as const;
      const handle = floor
        ? client.workflow.start('empty', { ...options, args: [], requestEagerStart: true })
        : client.workflow.start('threeActivities', { ...options, args: [job] });
      await handle.catch((error: Error) => {
        if (error.name !== 'WorkflowExecutionAlreadyStartedError') throw error;
      });
    }

    return {
      send: start,
      async work() {
        working = worker.run();
      },
      async countDone() {
        if (floor) return over;
        const { rows } = await pool.query<{ done: number }>(
          `select count(*)::integer as done from commands where status = 'Completed'`,
        );
        return rows[0]!.done;
      },
      async finishedAt(ids) {
        const closed = ids.map(async (id) => {
          const { raw } = await client.workflow.getHandle(id).describe();
          const { seconds, nanos } = raw.workflowExecutionInfo!.closeTime!;
          return Number(seconds) * 1_000 + (nanos ?? 0) / 1e6;
        });
        return Promise.all(closed);
      },
      async stop() {
        worker.shutdown();
        await working;
        await pool.end();
        await connection.close();
      },
    };
  },
};
