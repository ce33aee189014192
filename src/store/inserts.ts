/**
 * Way in (A): entries inserted in the sender's transaction.
 *
 * @module
 */
import { run, statement } from '../platform/prepared-statements.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { Json, JsonObject } from '../core/json.ts';
import type { Entry, NewEntry } from './entries.ts';
import { ENTRY_COLUMNS } from './entries.ts';

/** Any client with a `query` like that of `pg`: Kysely's, Drizzle's and Knex's raw ones too. */
export interface SqlClient {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** A relay that listens on it looks for Pending entries. Its notifications are empty: a wake-up, not a message. */
export const PENDING_CHANNEL = 'inbox_pending';

/** How long the statement of a caller's transaction waits for another one that holds a message_id, in ms. inbox.send: the same. */
export const SEND_WAIT_MS = 2_000;

/** The columns of a stored message that its sender does not know. */
interface Stored {
  id: string;
  messageId: string;
  receivedAt: Date;
  /** Null, like metadata, unless the entry was claimed: its handler sees the keys in the order of `jsonb`, as on every way in. */
  payload: Json;
  metadata: JsonObject | null;
}
const STORED = `id, message_id as "messageId", received_at as "receivedAt",
  case when status = 'Processing' then payload end as payload,
  case when status = 'Processing' then metadata end as metadata`;

const SEND = statement(`select ${STORED} from inbox.send_messages($1::jsonb, $2::text, $3::integer)`);

/**
 * Inserts those that are not there, Pending, and wakes the relays when the transaction commits.
 *
 * @param transaction - whose it is. A caller may prepare it (PREPARE TRANSACTION), which fails after a NOTIFY: so relays are
 *   not woken if the server allows that, unless `inbox.wake` is on. inbox.send has the same rule
 * @param waitMs - how long to wait for another transaction that holds one of the ids
 * @returns the inserted ones
 * @throws DatabaseError 55P03 when the wait is over
 */
export async function insertPendingEntries(
  db: SqlClient,
  entries: readonly NewEntry[],
  transaction: 'own' | 'caller' = 'own',
  waitMs = SEND_WAIT_MS,
): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await db.query(SEND.text, [sent, transaction, waitMs]);
  return stored(sent, rows as Stored[]);
}

/**
 * The entries of those messages that were stored, as they stand in the table.
 *
 * @param sent - the text that Postgres received; the caller may have changed its objects since
 */
function stored(sent: string, rows: readonly Stored[]): Entry[] {
  if (rows.length === 0) return [];
  const messages = JSON.parse(sent) as (NewEntry & Partial<Pick<EntryToSend, 'taken'>>)[];
  // Of a message that was sent twice in one call, the first is stored.
  const byId = new Map(messages.toReversed().map((message) => [message.messageId, message]));
  return rows.map(({ id, messageId, receivedAt, ...claimed }) => {
    const { commandType, correlationId, causationId, taken, ...own } = byId.get(messageId)!;
    const isClaimed = taken === 'claimed';
    const { payload, metadata } = isClaimed ? { ...claimed, metadata: claimed.metadata! } : own;
    return {
      id,
      messageId,
      commandType,
      payload,
      status: isClaimed ? 'Processing' : 'Pending',
      receivedAt,
      processedAt: null,
      retryCount: 0,
      nextRetryAt: null,
      error: null,
      correlationId,
      causationId,
      metadata,
      attempt: isClaimed ? 1 : 0,
      generation: 0,
      result: null,
      prunedAt: null,
    };
  });
}

/**
 * An entry on its way in, and who is notified once it is settled. Where this process takes it up at once, it is taken with
 * its insertion: claimed for its first attempt, or leased for the start of its workflow.
 */
export type EntryToSend = NewEntry & { replyTo: string | null; taken: 'claimed' | 'leased' | null };

/** Statements of the inbox's own wait only so long, in ms: then those that are not held are sent without the one that is. */
const GROUP_WAIT_MS = 20;

/**
 * Inserts those that are not there, in a transaction of its own, and wakes nobody: see {@link wakeRelays}.
 *
 * @throws DatabaseError 55P03, after which nothing was stored, when another transaction holds one of the ids
 */
export async function insertQuietly(db: Queryable, entries: readonly EntryToSend[]): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await run<Stored>(db, SEND, [sent, 'nobody', GROUP_WAIT_MS]);
  return stored(sent, rows);
}

const SEND_UNBLOCKED = statement(`select ${STORED} from inbox.send_unblocked($1::jsonb, $2::integer)`);
/** Waiting for many of them one after the other must not take long. */
const EACH_WAIT_MS = 2;

/** As {@link insertQuietly}, without those whose ids are held by other transactions. */
export async function insertUnblocked(db: Queryable, entries: readonly EntryToSend[]): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await run<Stored>(db, SEND_UNBLOCKED, [sent, EACH_WAIT_MS]);
  return stored(sent, rows);
}

/** Wakes the relays of all workers. Its own COMMIT does not wait for the disk: the others with a NOTIFY wait for it. */
export async function wakeRelays(db: Queryable): Promise<void> {
  await db.query(
    `select pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify($1, '')`,
    [PENDING_CHANNEL],
  );
}

/** What is known of a message: the entry where it was sent with the same type and payload, null where it was not. */
export interface KnownMessage {
  messageId: string;
  entry: Entry | null;
}

/** Of these messages the ones that are there, each compared with what was sent now. */
export async function findKnownMessages(
  db: SqlClient,
  entries: readonly NewEntry[],
): Promise<KnownMessage[]> {
  const { rows } = await db.query(
    `select sent_id as "sentId", same, ${ENTRY_COLUMNS} from inbox.known_messages($1::jsonb)`,
    [JSON.stringify(entries)],
  );
  const known = rows as (Entry & { sentId: string; same: boolean })[];
  return known.map(({ sentId, same, ...entry }) => ({ messageId: sentId, entry: same ? entry : null }));
}

/** How an entry that somebody waits for has ended. */
export interface SettledEntry {
  messageId: string;
  status: 'Completed' | 'DeadLetter';
  result: Json;
  error: string | null;
}

/** Of these entries the ones that are Completed or DeadLetter, by their ids, which only their senders know. */
export async function findSettledEntries(
  db: SqlClient,
  entryIds: readonly string[],
): Promise<SettledEntry[]> {
  const { rows } = await db.query(
    `select message_id as "messageId", status, result, error from inbox.settled_entries($1::uuid[])`,
    [entryIds],
  );
  return rows as SettledEntry[];
}

/** The entry of a message that this login has sent or may see; else null. */
export async function findOwnEntry(db: SqlClient, messageId: string): Promise<Entry | null> {
  const { rows } = await db.query(`select ${ENTRY_COLUMNS} from inbox.entry_of($1::text)`, [messageId]);
  return (rows[0] as Entry | undefined) ?? null;
}
