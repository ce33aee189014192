/**
 * The chaos bank's commands, for a worker process that dies, fails or hangs at a crash point. The message id names the point
 * and what happens there: `x@after-claim@kill@a`. It happens once for each message.
 *
 * @module
 */
import { Client } from 'pg';
import type { DeadLetterAlert } from '../../src/core/alert.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { setCrashHook } from '../../src/platform/crash-points.ts';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { recordAlert } from '../chaos/bank.ts';

export { expressTransfer, recordedTransfer, transfer } from '../chaos/bank.ts';

export const onDeadLetter = (alert: DeadLetterAlert) => withNewClient((client) => recordAlert(client, alert));

export const CRASH_KINDS = ['kill', 'error', 'hang'] as const;
export type CrashKind = (typeof CRASH_KINDS)[number];

export function crashingId(name: string, point: CrashPoint, kind: CrashKind): string {
  return `${name}@${point}@${kind}`;
}

setCrashHook(async (point, messageId) => {
  const [, wanted, kind] = messageId.split('@');
  if (wanted !== point || !(await isFirst(messageId))) return;
  if (kind === 'kill') process.kill(process.pid, 'SIGKILL');
  if (kind === 'error') throw new Error(`crash point ${point}`);
  await new Promise(() => {});
});

/** True the first time. Recorded in Postgres, because this process may be about to die. */
async function isFirst(messageId: string): Promise<boolean> {
  const sql = 'insert into chaos.crashes (message_id) values ($1) on conflict do nothing';
  return withNewClient(async (client) => (await client.query(sql, [messageId])).rowCount === 1);
}

async function withNewClient<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(readDatabaseUrl());
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
