/**
 * Way in (A): entries inserted in the sender's transaction.
 *
 * @module
 */
import { run, statement } from '../prepared.ts';
import type { Queryable } from '../database.ts';
import type { Json } from '../json.ts';
import type { Entry, NewEntry } from './entries.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import { NOTIFY_QUEUE_HAS_ROOM } from './listen.ts';

/** Any client with a `query` like that of `pg`: Kysely's, Drizzle's and Knex's raw ones too. */
export interface SqlClient {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** A relay that listens on it looks for Pending entries. Its notifications are empty: a wake-up, not a message. */
export const PENDING_CHANNEL = 'inbox_pending';

/**
 * Inserts those that are not there, Pending, and wakes the relays when the transaction commits: one NOTIFY a statement,
 * since a commit with a NOTIFY waits for every other such commit. `replyTo` is notified once the entry is settled.
 *
 * @param transaction - whose it is. A caller may prepare it (PREPARE TRANSACTION), which fails after a NOTIFY: so relays are
 *   not woken if the server allows that, unless `inbox.wake` is on. inbox.send has the same rule in SQL
 * @returns the inserted ones
 */
export async function insertPendingEntries(
  db: SqlClient,
  entries: readonly NewEntry[],
  replyTo: string | null,
  transaction: 'own' | "caller's" = 'own',
): Promise<Entry[]> {
  const { rows } = await db.query(
    `with inserted as (
       insert into inbox.entries
         (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, reply_to)
       select m ->> 'messageId', m ->> 'commandType', m -> 'payload', m ->> 'correlationId', m ->> 'causationId',
              m -> 'metadata', inbox.fingerprint(m ->> 'commandType', m -> 'payload'), $2
       from jsonb_array_elements($1::jsonb) with ordinality as messages (m, place)
       order by place
       on conflict do nothing
       returning *),
     woken as materialized (
       select pg_notify($3, '')
       where exists (select from inserted) and ${NOTIFY_QUEUE_HAS_ROOM}
         and case current_setting('inbox.wake', true)
           when 'on' then true
           when 'off' then false
           else $4::boolean or current_setting('max_prepared_transactions') = '0'
         end)
     select ${ENTRY_COLUMNS} from inserted left join woken on true`,
    [JSON.stringify(entries), replyTo, PENDING_CHANNEL, transaction === 'own'],
  );
  return rows as Entry[];
}

/**
 * An entry on its way in, and who is notified once it is settled. Where this process takes it up at once, it is taken with
 * its insertion: claimed for its first attempt, or leased for the start of its workflow.
 */
export type EntryToSend = NewEntry & { replyTo: string | null; taken: 'claimed' | 'leased' | null };

const INSERT_PENDING = statement(
  `insert into inbox.entries
     (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, reply_to,
      status, attempt, claimed_at, relayed_at)
   select m ->> 'messageId', m ->> 'commandType', m -> 'payload', m ->> 'correlationId', m ->> 'causationId',
          m -> 'metadata', inbox.fingerprint(m ->> 'commandType', m -> 'payload'), m ->> 'replyTo',
          case when claimed then 'Processing' else 'Pending' end::inbox.entry_status, claimed::integer,
          case when claimed then now() end, case when m ->> 'taken' = 'leased' then now() end
   from jsonb_array_elements($1::jsonb) with ordinality as messages (m, place),
     lateral (select coalesce(m ->> 'taken' = 'claimed', false) as claimed) as first_attempt
   order by place
   on conflict do nothing
   returning ${ENTRY_COLUMNS}`,
);

/** Inserts those that are not there, in a transaction of its own, and wakes nobody: see {@link wakeRelays}. */
export async function insertQuietly(db: Queryable, entries: readonly EntryToSend[]): Promise<Entry[]> {
  const { rows } = await run<Entry>(db, INSERT_PENDING, [JSON.stringify(entries)]);
  return rows;
}

/** Wakes the relays of all workers. Its own COMMIT does not wait for the disk: the others with a NOTIFY wait for it. */
export async function wakeRelays(db: Queryable): Promise<void> {
  await db.query(`select set_config('synchronous_commit', 'off', true), pg_notify($1, '')`, [
    PENDING_CHANNEL,
  ]);
}

/** A known entry, and whether it was sent with the same type and payload. */
export type KnownEntry = Entry & { same: boolean };

/** Of these messages the ones that are there, each compared with what was sent now. */
export async function findKnownEntries(db: SqlClient, entries: readonly NewEntry[]): Promise<KnownEntry[]> {
  const { rows } = await db.query(
    `select e.*, fingerprint = sent_fingerprint as same
     from (select m ->> 'messageId' as sent_id, inbox.fingerprint(m ->> 'commandType', m -> 'payload') as sent_fingerprint
           from jsonb_array_elements($1::jsonb) as messages (m)) as sent
     join (select ${ENTRY_COLUMNS}, fingerprint from inbox.entries) as e on e."messageId" = sent_id`,
    [JSON.stringify(entries)],
  );
  return rows as KnownEntry[];
}

/** How an entry that somebody waits for has ended. */
export interface SettledEntry {
  messageId: string;
  status: 'Completed' | 'DeadLetter';
  result: Json;
  error: string | null;
}

/** Of these messages the ones that are Completed or DeadLetter. */
export async function findSettledEntries(
  db: SqlClient,
  messageIds: readonly string[],
): Promise<SettledEntry[]> {
  const { rows } = await db.query(
    `select message_id as "messageId", status, result, error from inbox.entries
     where message_id = any ($1) and status in ('Completed', 'DeadLetter')`,
    [messageIds],
  );
  return rows as SettledEntry[];
}
