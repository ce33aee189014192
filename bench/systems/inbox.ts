/**
 * temporal-inbox: one of its lanes, sent to by `inbox.send` (A) or started with a Temporal client (B). Settings:
 * `lane` (workflow, express or recorded), `way` (A or B), `until` (record: a recorded command is done once it has its
 * workflow; default: once its handler is), and every setting of a worker under its variable's name.
 *
 * @module
 */
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { readSettings } from '../../src/settings.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import { createLog } from '../../src/platform/log.ts';
import { migrate } from '../../src/store/migrate.ts';
import { WORKFLOW_TYPE } from '../../src/core/protocol.ts';
import { installRuntime } from '../../src/temporal/runtime.ts';
import { createInboxWorker } from '../../src/worker.ts';
import type { Job, Surroundings, System } from '../system.ts';
import { ADD_TO_ACCOUNT } from '../tables.ts';

const TYPE = 'AddToAccount';
const SENT_AT_ONCE = 500;
/** Prepared, as in the jobs of the other systems. */
const ADD = { name: 'add', text: ADD_TO_ACCOUNT };

const EXPRESS: Record<string, boolean | 'recorded'> = { express: true, recorded: 'recorded' };
/** Between two looks at what has its record; the oldest are looked at, more than are in flight at a steady rate. */
const LOOK_EVERY_MS = 25;
const LOOKED_AT = 64;

const command = (express: boolean | 'recorded', done: Surroundings['done']) =>
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
      settings: { ...readSettings({ ...process.env, ...settings }), taskQueue },
      log,
    });
    const inbox = await createInbox({ pool, log });
    const client = new Client({ connection });
    let working: Promise<void> | undefined;
    const looking = waiting && setInterval(() => void look(waiting), LOOK_EVERY_MS);
    let isLooking = false;

    async function look(ids: Set<string>): Promise<void> {
      if (isLooking || ids.size === 0) return;
      isLooking = true;
      const sql = `select message_id as id from inbox.entries
                   where message_id = any ($1) and status = 'Completed' and not needs_workflow`;
      const { rows } = await pool.query<{ id: string }>({
        name: 'look',
        text: sql,
        values: [[...ids].slice(0, LOOKED_AT)],
      });
      for (const { id } of rows) if (ids.delete(id)) done(id);
      isLooking = false;
    }

    async function start({ id, account, amount }: Job): Promise<void> {
      await client.workflow.start(WORKFLOW_TYPE, {
        workflowId: id,
        taskQueue,
        args: [{ commandType: TYPE, payload: { account, amount } }],
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
          // The ids of this measurement's jobs, so that no count reads what was there before.
          `select count(*)::integer as done from inbox.entries
           where message_id > $1 || '-' and message_id < $1 || '.' and status = 'Completed' and not needs_workflow`,
          [taskQueue],
        );
        return rows[0]!.done;
      },
      async stop() {
        worker.shutdown();
        await working;
        if (looking) clearInterval(looking);
        await inbox.close();
        await pool.end();
        await connection.close();
      },
    };
  },
};
