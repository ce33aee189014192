/**
 * temporal-inbox in one of its modes. Commands are sent with `inbox.send` (A) or started with a Temporal client (B).
 * Settings: `lane` (the mode: workflow, express or recorded), `way` (A or B), `until` (`record`: a recorded command
 * counts as done when it has its workflow; default: when its handler has returned), `telemetry` (`on`: traces and metrics are
 * exported), and each worker setting under the name of its variable.
 *
 * @module
 */
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { settingsFromEnv } from '../../src/settings.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import { createLog } from '../../src/platform/log.ts';
import { migrate } from '../../src/store/migrate.ts';
import { installRuntime } from '../../src/temporal/runtime.ts';
import { createInboxWorker } from '../../src/worker.ts';
import type { Job, SystemContext, System } from '../system.ts';
import { ADD_TO_ACCOUNT } from '../tables.ts';
import { exportTelemetry } from '../telemetry.ts';

const TYPE = 'AddToAccount';
const SENT_AT_ONCE = 500;
/** A prepared statement, as in the jobs of the other systems. */
const ADD = { name: 'add', text: ADD_TO_ACCOUNT };

const EXPRESS: Record<string, boolean | 'recorded'> = { express: true, recorded: 'recorded' };
/** How often to check which commands have their workflow. */
const CHECK_EVERY_MS = 25;
/** Each check reads the oldest commands, up to this number, which is more than the number in flight at a steady rate. */
const CHECKED_AT_ONCE = 64;

const command = (express: boolean | 'recorded', done: SystemContext['done']) =>
  defineCommand({
    type: TYPE,
    express,
    schema: z.object({ account: z.int(), amount: z.int() }),
    async handle({ tx, messageId, payload, emit }) {
      await tx.query({ ...ADD, values: [payload.account, payload.amount] });
      emit({
        aggregateType: 'account',
        aggregateId: String(payload.account),
        type: 'AmountAdded',
        payload: { amount: payload.amount },
      });
      done(messageId);
      return null;
    },
  });

const messageOf = ({ id, account, amount }: Job) => ({
  messageId: id,
  type: TYPE,
  payload: { account, amount },
});

export const system: System = {
  async open({ databaseUrl, temporalAddress, taskQueue, inFlight, settings, done }) {
    installRuntime({ shutdownSignals: [] });
    const stopTelemetry = settings['telemetry'] === 'on' ? await exportTelemetry() : null;
    const pool = createPool({
      connectionString: databaseUrl,
      max: Math.min(inFlight, 16),
      applicationName: 'bench sender',
    });
    await migrate(pool);
    const connection = await NativeConnection.connect({ address: temporalAddress });
    const log = createLog('error');
    const waiting = settings['until'] === 'record' ? new Set<string>() : null;
    const handled = waiting ? (id: string) => void waiting.add(id) : done;
    const worker = await createInboxWorker({
      commands: [command(EXPRESS[settings['lane']!] ?? false, handled)],
      databaseUrl,
      connection,
      settings: { ...settingsFromEnv({ ...process.env, ...settings }), taskQueue },
      log,
    });
    const inbox = await createInbox({ pool, log });
    const client = new Client({ connection });
    let working: Promise<void> | undefined;
    const checkTimer = waiting && setInterval(() => void checkRecorded(waiting), CHECK_EVERY_MS);
    let isChecking = false;

    async function checkRecorded(ids: Set<string>): Promise<void> {
      if (isChecking || ids.size === 0) return;
      isChecking = true;
      const sql = `select message_id as id from inbox.entries
                   where message_id = any ($1) and status = 'Completed' and not needs_workflow`;
      const { rows } = await pool.query<{ id: string }>({
        name: 'look',
        text: sql,
        values: [[...ids].slice(0, CHECKED_AT_ONCE)],
      });
      for (const { id } of rows) if (ids.delete(id)) done(id);
      isChecking = false;
    }

    async function start({ id, account, amount }: Job): Promise<void> {
      await client.workflow.start(TYPE, {
        workflowId: id,
        taskQueue,
        args: [{ account, amount }],
        workflowIdConflictPolicy: 'USE_EXISTING',
        requestEagerStart: true,
      });
    }

    return {
      send: settings['way'] === 'B' ? start : async (job) => void (await inbox.send(messageOf(job))),
      async sendAll(jobs) {
        for (let from = 0; from < jobs.length; from += SENT_AT_ONCE) {
          await inbox.send(jobs.slice(from, from + SENT_AT_ONCE).map(messageOf));
        }
      },
      async work() {
        working = worker.run();
      },
      async countDone() {
        const { rows } = await pool.query<{ done: number }>(
          // Count only the ids of this measurement's jobs, so that the query does not read entries that existed before.
          `select count(*)::integer as done from inbox.entries
           where message_id > $1 || '-' and message_id < $1 || '.' and status = 'Completed' and not needs_workflow`,
          [taskQueue],
        );
        return rows[0]!.done;
      },
      async stop() {
        worker.shutdown();
        await working;
        if (checkTimer) clearInterval(checkTimer);
        await inbox.close();
        await pool.end();
        await connection.close();
        await stopTelemetry?.();
      },
    };
  },
};
