/**
 * Measures the time from the sender's COMMIT until a command is Completed, and compares it with the same command started
 * by an ordinary Temporal client. Also measures how long a command waits if its NOTIFY is lost. Commands run one at a
 * time, interleaved, on separate servers.
 *
 *     node dist/bench/send-latency.js [rounds]
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { z } from 'zod';
import { installRuntime } from '../src/temporal/runtime.ts';
import { defineCommand } from '../src/commands/define-command.ts';
import { readTemporal } from '../src/temporal/connection-config.ts';
import { createPool, withTransaction } from '../src/platform/postgres.ts';
import { startServers } from '../src/dev/servers.ts';
import { createLog } from '../src/platform/log.ts';
import { migrate } from '../src/store/migrate.ts';
import { parseMessage } from '../src/sending/accept-messages.ts';
import { insertPendingEntries } from '../src/store/inserts.ts';
import { ResultWaiter } from '../src/sending/result-waiter.ts';
import { createInboxWorker } from '../src/worker.ts';

const ROUNDS = Number(process.argv[2] ?? 100);
const TASK_QUEUE = 'inbox-bench';

const touch = defineCommand({
  type: 'Touch',
  schema: z.object({}),
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
  },
});

installRuntime({ shutdownSignals: [] });
const servers = await startServers();
const pool = createPool({ connectionString: servers.databaseUrl, max: 4, applicationName: 'bench' });
await migrate(pool);
await pool.query('create table if not exists effects (message_id text)');
const { connectionOptions, namespace } = readTemporal({
  ...process.env,
  TEMPORAL_ADDRESS: servers.temporalAddress,
});
const native = await NativeConnection.connect(connectionOptions);
const connection = await Connection.connect(connectionOptions);
const client = new Client({ connection, namespace });
const log = createLog('error');
const worker = await createInboxWorker({
  commands: [touch],
  databaseUrl: servers.databaseUrl,
  connection: native,
  namespace,
  settings: { taskQueue: TASK_QUEUE },
  log,
});
const running = worker.run();
const settlements = new ResultWaiter(pool, pool, log);
settlements.start();

const sent: number[] = [];
const started: number[] = [];
const notifyLost: number[] = [];
const never = new AbortController().signal;

for (let round = 0; round < ROUNDS + 10; round += 1) {
  const viaPostgres = await afterCommit((messageId) =>
    withTransaction(pool, async (tx) => {
      const message = { messageId, type: 'Touch', payload: {}, replyTo: settlements.channel };
      const [entry] = await insertPendingEntries(tx, [{ ...parseMessage(message, 1_000_000), ...message }]);
      return entry!;
    }),
  );
  const viaTemporal = await startWithClient();
  // The first rounds open connections and warm up the worker.
  if (round < 10) continue;
  sent.push(viaPostgres);
  started.push(viaTemporal);
  if (round % 5 === 0) notifyLost.push(await afterCommit(sendWithoutNotify));
}
report();

await settlements.close();
worker.shutdown();
await running;
await native.close();
await connection.close();
await pool.end();
await servers.stop();

async function afterCommit(send: (messageId: string) => Promise<{ id: string }>): Promise<number> {
  const messageId = randomUUID();
  const settled = settlements.wait(messageId, never);
  const { id } = await send(messageId);
  const committed = performance.now();
  settlements.sent({ id, messageId });
  await settled;
  return performance.now() - committed;
}

async function startWithClient(): Promise<number> {
  const startedAt = performance.now();
  await client.workflow.execute('handleCommand', {
    workflowId: randomUUID(),
    taskQueue: TASK_QUEUE,
    args: [{ commandType: 'Touch', payload: {} }],
  });
  return performance.now() - startedAt;
}

/** Inserts the row without a NOTIFY, as if it had been lost. */
async function sendWithoutNotify(messageId: string): Promise<{ id: string }> {
  const { rows } = await pool.query<{ id: string }>(
    `insert into inbox.entries (message_id, command_type, payload, fingerprint, reply_to)
     values ($1, 'Touch', '{}', inbox.fingerprint('Touch', '{}'), $2) returning id`,
    [messageId, settlements.channel],
  );
  return rows[0]!;
}

function report(): void {
  const line = (what: string, values: number[]) =>
    `${what.padEnd(44)} median ${median(values).toFixed(1)} ms, p90 ${quantile(values, 0.9).toFixed(1)} ms, n ${values.length}\n`;
  process.stdout.write(line("sender's COMMIT to Completed", sent));
  process.stdout.write(line('ordinary Temporal client, start to result', started));
  process.stdout.write(line("sender's COMMIT to Completed, NOTIFY lost", notifyLost));
  process.stdout.write(`ratio of the first two medians: ${(median(sent) / median(started)).toFixed(2)}\n`);
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
}
