/**
 * The chaos bank's commands for a worker process that dies, fails or hangs at a crash point: once for each message whose
 * id names one, as in `x@after-claim@kill@a`.
 *
 * @module
 */
import { Client } from 'pg';
import type { DeadLetterAlert } from '../../src/core/alert.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { setCrashHook } from '../../src/platform/crash-points.ts';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { noteAlert } from '../chaos/bank.ts';

export { expressTransfer, recordedTransfer, transfer } from '../chaos/bank.ts';

export const onDeadLetter = (alert: DeadLetterAlert) => aside((client) => noteAlert(client, alert));

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

/** Remembered outside of this process, which may be about to die. */
async function isFirst(messageId: string): Promise<boolean> {
  const sql = 'insert into chaos.crashes (message_id) values ($1) on conflict do nothing';
  return aside(async (client) => (await client.query(sql, [messageId])).rowCount === 1);
}

/** On a connection of its own. */
async function aside<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(readDatabaseUrl());
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
