/**
 * The commands of the crash and chaos tests: transfers between accounts. The table `effects` has no unique constraint,
 * because that would hide duplicates.
 *
 * @module
 */
import { Pool } from 'pg';
import { z } from 'zod';
// Only the public interface: in chaos runs, workers of other releases load this file, too.
import { createInbox, defineCommand, UnrecoverableError } from '../../src/index.ts';
import type { DeadLetterAlert } from '../../src/core/alert.ts';
import type { Inbox, Json } from '../../src/index.ts';

export const ACCOUNTS = 30;
export const OPENING_CENTS = 1_000_000;
export const MAXIMUM_ATTEMPTS = 20;

/**
 * An inbox in the worker's process. If this worker has a free slot, the INSERT of a message also claims it for this worker.
 */
let inbox: Promise<Inbox> | undefined;

function inboxOfThisProcess(): Promise<Inbox> {
  inbox ??= createInbox({ pool: createSenderPool() }).catch((error: unknown) => {
    // Postgres may be down. The next call tries again.
    inbox = undefined;
    throw error;
  });
  return inbox;
}

let senderPool: Pool | undefined;

function createSenderPool(): Pool {
  senderPool ??= new Pool({
    connectionString: process.env['DATABASE_URL'],
    max: 2,
    application_name: 'chaos sender',
    connectionTimeoutMillis: 10_000,
    query_timeout: 10_000,
  }).on('error', () => {});
  return senderPool;
}

/**
 * Sends on the handler's own connection, so a failure is the handler's and uses up an attempt. The error leaves out
 * Postgres's error code: invariant 16c would take it for a failure of the inbox's connection.
 */
async function sendFromHandler(message: { messageId: string; type: string; payload: Json }): Promise<void> {
  await inboxOfThisProcess()
    .then((own) => own.send(message))
    .catch((error: unknown) => {
      throw new Error(`the handler could not send its message: ${(error as Error).name}`);
    });
}

/**
 * `failures` is the number of attempts that fail first. With `dies`, the command becomes a dead letter and succeeds after
 * its first replay. `beside` is another command, which the handler sends in a separate transaction.
 */
const schema = z.object({
  from: z
    .int()
    .min(0)
    .max(ACCOUNTS - 1),
  to: z
    .int()
    .min(0)
    .max(ACCOUNTS - 1),
  cents: z.int().positive(),
  events: z.int().min(0).max(5).default(1),
  failures: z.int().min(0).default(0),
  dies: z.boolean().default(false),
  sleepMs: z.int().min(0).default(0),
  beside: z.object({ messageId: z.string(), type: z.string(), payload: z.json() }).optional(),
});

export type Transfer = z.input<typeof schema>;

export const transfer = defineCommand({
  type: 'Transfer',
  schema,
  retry: { maximumAttempts: MAXIMUM_ATTEMPTS, initialInterval: '200ms', maximumInterval: '2s' },
  timeout: '5s',
  async handle({ payload, tx, emit, messageId, attempt, generation }) {
    const { from, to, cents, events, failures, dies, sleepMs, beside } = payload;
    // Always in the same order, so that two transfers between the same accounts cannot deadlock.
    const [first, second] = from < to ? [from, to] : [to, from];
    await tx.query('select from chaos.accounts where id in ($1, $2) order by id for update', [first, second]);
    await tx.query('update chaos.accounts set balance = balance - $1 where id = $2', [cents, from]);
    await tx.query('update chaos.accounts set balance = balance + $1 where id = $2', [cents, to]);
    await tx.query(
      'insert into chaos.effects (message_id, generation, attempt, cents, release) values ($1, $2, $3, $4, $5)',
      [messageId, generation, attempt, cents, process.env['CHAOS_RELEASE'] ?? null],
    );
    for (let number = 1; number <= events; number += 1) {
      emit({
        aggregateType: 'account',
        aggregateId: String(from),
        type: 'Transferred',
        payload: { number, of: events },
      });
    }
    if (beside) await sendFromHandler(beside);
    if (sleepMs > 0) await tx.query('select pg_sleep($1)', [sleepMs / 1_000]);
    if (dies && generation === 0) throw new UnrecoverableError('DiesUntilReplayed');
    if (attempt <= failures) throw new Error('this attempt fails on purpose');
    return { cents };
  },
});

/** The same command without a workflow, unless its first attempt fails. */
export const expressTransfer = defineCommand({ ...transfer, type: 'ExpressTransfer', express: true });
/** The same, but a workflow is started after a success, too, as a record. */
export const recordedTransfer = defineCommand({
  ...transfer,
  type: 'RecordedTransfer',
  express: 'recorded',
});

/** Command types that only one of the two releases knows. */
export const TYPES_OF_ONE_RELEASE = {
  newer: ['AddedTransfer', 'AddedExpressTransfer'],
  older: ['RetiredTransfer'],
} as const;
export type ReleaseName = keyof typeof TYPES_OF_ONE_RELEASE;

/** Records each delivery of an alert, also repeated ones. */
export async function recordAlert(
  db: Pick<Pool, 'query'>,
  { alertId, count }: DeadLetterAlert,
): Promise<void> {
  await db.query('insert into chaos.alerts (alert_id, count) values ($1, $2)', [alertId, count]);
}

/** Creates the tables of the bank, and those that the checker compares with the inbox's. */
export async function createChaosSchema(pool: Pool): Promise<void> {
  await pool.query(`
    create schema chaos;
    create table chaos.accounts (id integer primary key, balance bigint not null);
    create table chaos.effects (message_id text collate "C", generation integer, attempt integer, cents bigint,
      release text);
    create table chaos.alerts (alert_id uuid, count integer)`);
  await pool.query('insert into chaos.accounts select id, $1 from generate_series(0, $2) as id', [
    OPENING_CENTS,
    ACCOUNTS - 1,
  ]);
}
