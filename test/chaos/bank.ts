/**
 * The commands of the crash and chaos tests: transfers between accounts, with an `effects` table that has no unique
 * constraint, since one would hide a duplicate.
 *
 * @module
 */
import { Pool } from 'pg';
import { z } from 'zod';
// The public interface alone: chaos runs give this file to workers of other releases as well.
import { createInbox, defineCommand, UnrecoverableError } from '../../src/index.ts';
import type { DeadLetterAlert, Inbox, Json } from '../../src/index.ts';

export const ACCOUNTS = 30;
export const OPENING_CENTS = 1_000_000;
export const MAXIMUM_ATTEMPTS = 20;

/** The inbox of this worker's process: what is sent there is taken up beside it, with its insertion. */
let inbox: Promise<Inbox> | undefined;

function inboxOfThisProcess(): Promise<Inbox> {
  inbox ??= createInbox({ pool: createSenderPool() }).catch((error: unknown) => {
    // Postgres may be away: the next one tries again.
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
 * The handler has a connection of its own for this, so a failure is the handler's and uses up an attempt. The error leaves out
 * what Postgres said: invariant 16c would take that for a failure of the inbox's connection.
 */
async function sendBeside(message: { messageId: string; type: string; payload: Json }): Promise<void> {
  await inboxOfThisProcess()
    .then((own) => own.send(message))
    .catch((error: unknown) => {
      throw new Error(`the message beside was not sent: ${(error as Error).name}`);
    });
}

/**
 * How often and how a transfer fails before it works; `dies` fails for good until its first replay. `beside`: another
 * command, which it sends in a transaction of its own.
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
    // In one order, so that two transfers between two accounts cannot wait for each other.
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
    if (beside) await sendBeside(beside);
    if (sleepMs > 0) await tx.query('select pg_sleep($1)', [sleepMs / 1_000]);
    if (dies && generation === 0) throw new UnrecoverableError('DiesUntilReplayed');
    if (attempt <= failures) throw new Error('fails for now');
    return { cents };
  },
});

/** The same, without a workflow as long as nothing goes wrong. */
export const expressTransfer = defineCommand({ ...transfer, type: 'ExpressTransfer', express: true });
/** And with one when all went well, as its record. */
export const recordedTransfer = defineCommand({
  ...transfer,
  type: 'RecordedTransfer',
  express: 'recorded',
});

/** Known to the newer one of two releases only, or to the older one only. */
export const TYPES_OF_ONE_RELEASE = {
  newer: ['AddedTransfer', 'AddedExpressTransfer'],
  older: ['RetiredTransfer'],
} as const;
export type ReleaseName = keyof typeof TYPES_OF_ONE_RELEASE;

/** Remembers who was told of which alert, as often as it was told. */
export async function noteAlert(db: Pick<Pool, 'query'>, { alertId, count }: DeadLetterAlert): Promise<void> {
  await db.query('insert into chaos.alerts (alert_id, count) values ($1, $2)', [alertId, count]);
}

/** Tables of the bank, and of what the checker compares. */
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
