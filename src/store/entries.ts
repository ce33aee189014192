/**
 * `inbox.entries`: one row per message, and the statements that move it through its states.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { run, statement } from '../platform/prepared-statements.ts';
import type { Json, JsonObject } from '../core/json.ts';
import type { EntryStatus } from '../core/protocol.ts';
import { NOTIFY_QUEUE_HAS_ROOM } from './notifications.ts';

/** A row of `inbox.entries`. */
export interface Entry {
  id: string;
  messageId: string;
  commandType: string;
  /** Also null if the entry was pruned. */
  payload: Json;
  status: EntryStatus;
  receivedAt: Date;
  processedAt: Date | null;
  retryCount: number;
  nextRetryAt: Date | null;
  error: string | null;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
  attempt: number;
  generation: number;
  result: Json;
  /** When retention removed the payload, metadata and result. */
  prunedAt: Date | null;
}

/** Returns true if nothing more happens to the command until someone acts. */
export function isSettled({ status }: Pick<Entry, 'status'>): boolean {
  return status === 'Completed' || status === 'DeadLetter';
}

/** The fields that a sender provides. The inbox adds the others. */
export interface NewEntry {
  messageId: string;
  commandType: string;
  payload: Json;
  correlationId: string | null;
  causationId: string | null;
  metadata: JsonObject;
}

/** The columns of {@link Entry}, named like its fields. */
export const ENTRY_COLUMNS = `
  id, message_id as "messageId", command_type as "commandType", payload, status, received_at as "receivedAt",
  processed_at as "processedAt", retry_count as "retryCount", next_retry_at as "nextRetryAt", error,
  correlation_id as "correlationId", causation_id as "causationId", metadata, attempt, generation, result,
  pruned_at as "prunedAt"`;

/**
 * How long a claim waits for a transaction that has locked the entry, in ms: usually an attempt that is about to end.
 * After that, nothing was claimed, and the claim is retried.
 */
const CLAIM_WAIT_MS = 1_000;
/**
 * How long a claim waits for a transaction that has inserted the entry and not ended, in ms. It belongs to a sender and may
 * take hours, and claims of other messages need the connection.
 */
export const NEW_ENTRY_WAIT_MS = 100;

const CLAIM = statement(
  `update inbox.entries
   set status = 'Processing', attempt = attempt + 1, claimed_at = now(), next_retry_at = null
   where message_id = $1::text and ($3::text[] is null or command_type = any ($3))
     and (status::text = 'Pending' or status::text = 'Failed' and (not $2::boolean or next_retry_at <= now()))
     and (select set_config('lock_timeout', $4::text, true)) is not null
   returning ${ENTRY_COLUMNS}`,
);

/**
 * Starts the next attempt of an existing entry. Returns null if there is no such entry, or it is not waiting for an
 * attempt. `attempt + 1` is the fencing token: earlier attempts can no longer lock the row.
 *
 * Like every statement that finds one row by its key, it compares `status::text`, so that no plan can use the partial
 * index of a status: while a session holds a snapshot open, such an index is full of dead entries.
 *
 * @param onlyDue - skip a Failed entry whose next attempt is not due
 * @param types - skip an entry of any other command type; null means any type
 */
export async function claimEntry(
  db: Queryable,
  messageId: string,
  { onlyDue = false, types = null }: { onlyDue?: boolean; types?: readonly string[] | null } = {},
): Promise<Entry | null> {
  const { rows } = await run<Entry>(db, CLAIM, [messageId, onlyDue, types, String(CLAIM_WAIT_MS)]);
  return rows[0] ?? null;
}

const INSERT_AND_CLAIM = statement(
  `select ${ENTRY_COLUMNS} from inbox.insert_and_claim($1::jsonb, $2::integer)`,
);

/**
 * Starts the next attempt of a message that arrived as the argument of its workflow. The same statement inserts the entry
 * if it is missing. Returns null if the entry exists with another fingerprint, or is not waiting for an attempt that is
 * due.
 */
export async function insertAndClaimEntry(db: Queryable, entry: NewEntry): Promise<Entry | null> {
  const { rows } = await run<Entry>(db, INSERT_AND_CLAIM, [JSON.stringify(entry), NEW_ENTRY_WAIT_MS]);
  return rows[0] ?? null;
}

export async function findEntry(db: Queryable, messageId: string): Promise<Entry | null> {
  const { rows } = await db.query<Entry>(`select ${ENTRY_COLUMNS} from inbox.entries where message_id = $1`, [
    messageId,
  ]);
  return rows[0] ?? null;
}

/** Returns the result of a Completed entry, and when it completed; null for any other entry. */
export async function findRecord(
  db: Queryable,
  messageId: string,
): Promise<{ commandType: string; processedAt: Date; result: Json } | null> {
  const { rows } = await db.query<{ commandType: string; processedAt: Date; result: Json }>(
    `select command_type as "commandType", processed_at as "processedAt", result from inbox.entries
     where message_id = $1::text and status::text = 'Completed'`,
    [messageId],
  );
  return rows[0] ?? null;
}

/**
 * Returns a Failed entry whose next attempt is not due, with the remaining wait in ms by the database's clock; otherwise
 * null.
 */
export async function findWaitingEntry(
  db: Queryable,
  messageId: string,
): Promise<(Entry & { nextRetryAt: Date; error: string; waitMs: number }) | null> {
  const { rows } = await db.query<Entry & { nextRetryAt: Date; error: string; waitMs: number }>(
    `select ${ENTRY_COLUMNS}, ceil(extract(epoch from next_retry_at - now()) * 1000)::float8 as "waitMs"
     from inbox.entries where message_id = $1 and status::text = 'Failed' and next_retry_at > now()`,
    [messageId],
  );
  return rows[0] ?? null;
}

/**
 * Returns whether the entry was sent with this type and payload. Postgres computes the fingerprint, so it is the same for
 * every way in.
 */
export async function hasFingerprint(
  db: Queryable,
  { messageId, commandType, payload }: Pick<NewEntry, 'messageId' | 'commandType' | 'payload'>,
): Promise<boolean> {
  const { rowCount } = await db.query(
    'select from inbox.entries where message_id = $1 and fingerprint = inbox.fingerprint($2, $3)',
    [messageId, commandType, JSON.stringify(payload)],
  );
  return rowCount === 1;
}

/**
 * How to mark an entry that completes without a workflow and gets one afterwards, as its record. `leased`: the process
 * that completes the entry is about to start the workflow. `unrecorded`: any worker with free capacity starts it.
 */
export type RecordMark = 'leased' | 'unrecorded';

/** Identifies the transaction and the backend of an attempt. */
export interface LockedAttempt {
  /** The transaction's id, to detect that a handler ended the transaction. */
  xid: string;
  /** The pid of the backend, to terminate it when the attempt is aborted. */
  pid: number;
}

const LOCK = statement(
  `select pg_catalog.pg_current_xact_id()::text as xid, pg_catalog.pg_backend_pid() as pid
   from inbox.entries
   where message_id = $1::text and attempt = $2::integer and status::text = 'Processing'::text
     and (select pg_catalog.concat(
            pg_catalog.set_config('lock_timeout', $3::text, true),
            pg_catalog.set_config('statement_timeout', $3::text, true),
            pg_catalog.set_config('idle_in_transaction_session_timeout', $3::text, true),
            case when pg_catalog.current_setting('transaction_timeout', true) <> '0'::text
              then pg_catalog.set_config('transaction_timeout', '0', true) end,
            case when pg_catalog.current_setting('synchronous_commit') = 'off'::text
              then pg_catalog.set_config('synchronous_commit', 'on', true) end)) is not null
   for no key update of entries`,
);

/**
 * Locks the row for the rest of the transaction if this attempt is still the current one; returns null if it is stale.
 * The attempt begins when this statement answers. The same round trip sets the transaction's limits (in ms), so that no
 * statement outlives the attempt, the lock of a vanished worker is released, and no limit or durability setting of a role
 * or database applies instead. `transaction_timeout` exists since Postgres 17.
 *
 * The limits are set in a condition that names no column. Postgres evaluates such a condition once, before it looks for
 * the row. So the limits also hold for a stale attempt, which finds no row, and `lock_timeout` already applies to this
 * statement. Otherwise, a stale attempt would wait for as long as its successor runs, and the handler's first statement,
 * which has already been sent, would have no limit at all.
 */
export async function lockAttempt(
  tx: Queryable,
  messageId: string,
  attempt: number,
  timeoutMs: number,
): Promise<LockedAttempt | null> {
  const { rows } = await run<LockedAttempt>(tx, LOCK, [messageId, attempt, String(timeoutMs)]);
  return rows[0] ?? null;
}

/** How to undo the claim of an attempt. */
export interface GiveBack {
  /**
   * The attempt had begun, and Postgres or its connection failed. The number of such failures that don't use up a retry is
   * limited.
   */
  interrupted: boolean;
  /** Sets the lease as if a relay had taken the entry this many ms ago: relays skip the entry for the rest of the lease. */
  takenAgoMs: number;
}

/**
 * How many attempts of one generation may lose their connection without using up a retry. A deploy or a failover
 * interrupts one or two; a handler that crashes its backend interrupts all of them.
 */
export const MAX_INTERRUPTIONS = 5;

/**
 * Undoes a claim without using up a retry: the entry waits again, as before the claim. `attempt` is not changed, because
 * it is the fencing token, and a part of this attempt that is still running must remain stale.
 *
 * Returns false if the attempt is no longer the current one, or if there were already {@link MAX_INTERRUPTIONS}
 * interruptions.
 */
export async function undoAttemptClaim(
  db: Queryable,
  messageId: string,
  attempt: number,
  { interrupted, takenAgoMs }: GiveBack,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `update inbox.entries
     set status = case when retry_count > 0 then 'Failed' else 'Pending' end::inbox.entry_status,
       next_retry_at = case when retry_count > 0 then now() end,
       given_back = given_back + 1,
       interruptions = interruptions + case when $3::boolean then 1 else 0 end,
       relayed_at = now() - $4::float8 * interval '1 millisecond'
     where message_id = $1 and attempt = $2 and status::text = 'Processing' and (not $3::boolean or interruptions < $5)`,
    [messageId, attempt, interrupted, takenAgoMs, MAX_INTERRUPTIONS],
  );
  return rowCount === 1;
}

/** An outbox event, ready to be stored. */
export interface StoredEvent {
  aggregatetype: string;
  aggregateid: string;
  type: string;
  payload: Json;
  metadata: JsonObject;
}

const COMPLETE = statement(
  `with completed as (
     update inbox.entries
     set status = 'Completed', processed_at = pg_catalog.clock_timestamp(), result = $4::jsonb, error = null,
       needs_workflow = $6::boolean,
       relayed_at = case when $7::boolean then pg_catalog.now() when $6::boolean then null else relayed_at end
     where message_id = $1::text and attempt = $2::integer and status::text = 'Processing'::text
       and pg_catalog.pg_current_xact_id()::text = $3::text
     returning message_id, reply_to),
   emitted as (
     insert into inbox.outbox (aggregatetype, aggregateid, type, payload, metadata, message_id, created_at)
     select e.event ->> 'aggregatetype'::text, e.event ->> 'aggregateid'::text, e.event ->> 'type'::text,
            e.event -> 'payload'::text, e.event -> 'metadata'::text, completed.message_id, pg_catalog.clock_timestamp()
     from completed, pg_catalog.jsonb_array_elements($5::jsonb) with ordinality as e (event, place)
     order by e.place)
   select pg_catalog.pg_notify(reply_to, message_id) from completed
   where reply_to is not null and ${NOTIFY_QUEUE_HAS_ROOM}
   union all select inbox.transaction_ended() where not exists (select from completed)`,
);

/**
 * Completes an attempt: one statement in the handler's transaction stores its events and sets `Completed` with the
 * result. If a sender waits for the result, it is notified when the transaction commits.
 *
 * @throws DatabaseError with the SQLSTATE {@link TRANSACTION_ENDED} if this is no longer the transaction that locked the
 *   row. In that case nothing was changed and nothing can be committed, so COMMIT may be sent without waiting for the
 *   answer
 */
export async function completeEntry(
  tx: Queryable,
  done: {
    messageId: string;
    attempt: number;
    xid: string;
    result: Json;
    events: StoredEvent[];
    record?: RecordMark | undefined;
  },
): Promise<void> {
  await run(tx, COMPLETE, [
    done.messageId,
    done.attempt,
    done.xid,
    JSON.stringify(done.result),
    JSON.stringify(done.events),
    done.record !== undefined,
    done.record === 'leased',
  ]);
}

/** The SQLSTATE that {@link completeEntry} throws. */
export const TRANSACTION_ENDED = 'IB003';
