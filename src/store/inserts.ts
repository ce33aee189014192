/**
 * Inserts the entries of sent messages, in a transaction of the inbox's own. The statements for a sender's transaction are in
 * `callers-transaction.ts`.
 *
 * @module
 */
import { run, statement } from '../platform/prepared-statements.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { Json, JsonObject } from '../core/json.ts';
import type { SqlClient } from '../core/sql-client.ts';
import type { Entry, NewEntry } from './entries.ts';
import { ENTRY_COLUMNS } from './entries.ts';

/** Relays listen on this channel and look for Pending entries when they are notified. The notifications have no payload. */
export const PENDING_CHANNEL = 'inbox_pending';

/**
 * How long an insert waits for another transaction that holds a message_id, in ms. The SQL function inbox.send waits equally
 * long.
 */
export const SEND_WAIT_MS = 2_000;

/** The columns of a stored message that its sender does not know. */
export interface Stored {
  id: string;
  messageId: string;
  receivedAt: Date;
  /**
   * Null, like metadata, unless the entry was claimed. The handler of a claimed entry gets its payload from the table, so
   * that the keys are in the order of `jsonb`, as for every other way in.
   */
  payload: Json;
  metadata: JsonObject | null;
}
const STORED = `id, message_id as "messageId", received_at as "receivedAt",
  case when status = 'Processing' then payload end as payload,
  case when status = 'Processing' then metadata end as metadata`;

const SEND = statement(`select ${STORED} from inbox.send_messages($1::jsonb, $2::text, $3::integer)`);

/**
 * Inserts the messages that are not stored yet as Pending, and wakes the relays when the transaction commits.
 *
 * @param waitMs - how long to wait for another transaction that holds one of the ids
 * @returns the inserted entries
 * @throws DatabaseError 55P03 when the wait times out
 */
export async function insertPendingEntries(
  db: SqlClient,
  entries: readonly NewEntry[],
  waitMs = SEND_WAIT_MS,
): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await db.query(SEND.text, [sent, 'own', waitMs]);
  return storedEntries(sent, rows as Stored[]);
}

/**
 * Returns the entries of the messages that were stored, as they are in the table.
 *
 * @param sent - the text that Postgres received; the caller may have changed its objects since
 */
export function storedEntries(sent: string, rows: readonly Stored[]): Entry[] {
  if (rows.length === 0) return [];
  const messages = JSON.parse(sent) as (NewEntry & Partial<Pick<EntryToSend, 'taken'>>)[];
  // If a message was sent twice in one call, the first one was stored.
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
 * An entry to insert, and the channel to notify once it is settled. If this process has reserved a slot, the INSERT also
 * takes the entry for it: `claimed` for its first attempt, or `leased` to start its workflow.
 */
export type EntryToSend = NewEntry & { replyTo: string | null; taken: 'claimed' | 'leased' | null };

/**
 * How long an insert in the inbox's own transaction waits for ids held by other transactions, in ms. After that, the
 * messages whose ids are not held are sent without the others.
 */
const GROUP_WAIT_MS = 20;

/**
 * Inserts the messages that are not stored yet, in a separate transaction, and does not wake the relays: see
 * {@link wakeRelays}.
 *
 * @throws DatabaseError 55P03 when another transaction holds one of the ids; nothing was stored then
 */
export async function insertQuietly(db: Queryable, entries: readonly EntryToSend[]): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await run<Stored>(db, SEND, [sent, 'nobody', GROUP_WAIT_MS]);
  return storedEntries(sent, rows);
}

const SEND_UNBLOCKED = statement(`select ${STORED} from inbox.send_unblocked($1::jsonb, $2::integer)`);
/** How long to wait for each held id, in ms. Short, because the statement may wait for many of them in sequence. */
const EACH_WAIT_MS = 2;

/** Like {@link insertQuietly}, but leaves out the messages whose ids are held by other transactions. */
export async function insertUnblocked(db: Queryable, entries: readonly EntryToSend[]): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const { rows } = await run<Stored>(db, SEND_UNBLOCKED, [sent, EACH_WAIT_MS]);
  return storedEntries(sent, rows);
}

/**
 * Wakes the relays of all workers. Its COMMIT does not wait for the disk, because every other commit with a NOTIFY waits
 * for this one.
 */
export async function wakeRelays(db: Queryable): Promise<void> {
  await db.query(
    `select pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify($1, '')`,
    [PENDING_CHANNEL],
  );
}

/** A message that is already stored: with its entry if it was sent with the same type and payload, with null otherwise. */
export interface KnownMessage {
  messageId: string;
  entry: Entry | null;
}

/** A row of inbox.known_messages. */
export type KnownRow = Entry & { sentId: string; same: boolean };
export const KNOWN_COLUMNS = `sent_id as "sentId", same, ${ENTRY_COLUMNS}`;

/** Returns those of these messages that are already stored, each compared with what is being sent now. */
export async function findKnownMessages(
  db: SqlClient,
  entries: readonly NewEntry[],
): Promise<KnownMessage[]> {
  const { rows } = await db.query(`select ${KNOWN_COLUMNS} from inbox.known_messages($1::jsonb)`, [
    JSON.stringify(entries),
  ]);
  return (rows as KnownRow[]).map(asKnown);
}

export function asKnown({ sentId, same, ...entry }: KnownRow): KnownMessage {
  return { messageId: sentId, entry: same ? entry : null };
}

/** The outcome of an entry whose result a sender waits for. */
export interface SettledEntry {
  messageId: string;
  status: 'Completed' | 'DeadLetter';
  result: Json;
  /** The next four fields describe a dead letter. */
  error: string | null;
  errorType: string | null;
  failureGroup: string | null;
  details: JsonObject | null;
}

/**
 * Returns those of these entries that are Completed or DeadLetter. Finds them by entry id, which only their senders know.
 */
export async function findSettledEntries(
  db: SqlClient,
  entryIds: readonly string[],
): Promise<SettledEntry[]> {
  const { rows } = await db.query(
    `select message_id as "messageId", status, result, error, error_type as "errorType",
            failure_group as "failureGroup", details
     from inbox.settled_messages($1::uuid[])`,
    [entryIds],
  );
  return rows as SettledEntry[];
}

/** Returns the entry of a message that this login sent or may see; otherwise null. */
export async function findOwnEntry(db: SqlClient, messageId: string): Promise<Entry | null> {
  const { rows } = await db.query(`select ${ENTRY_COLUMNS} from inbox.entry_of($1::text)`, [messageId]);
  return (rows[0] as Entry | undefined) ?? null;
}
