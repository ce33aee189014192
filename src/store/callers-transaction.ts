/**
 * Sends in a transaction of the caller, on a client whose conversions are not known.
 *
 * Drivers and their settings differ in how they write JSON (postgres.js encodes text for a `jsonb` parameter once more), in
 * what they return for dates and JSON, and in how they name columns. So all parameters are text, and each row has one column:
 * an object as JSON text.
 *
 * @module
 */
import { UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';
import type { Entry, NewEntry } from './entries.ts';
import { asKnown, KNOWN_COLUMNS, SEND_WAIT_MS, storedEntries } from './inserts.ts';
import type { KnownMessage, KnownRow, Stored } from './inserts.ts';

const SEND = `
  select pg_catalog.json_build_object('id', id, 'messageId', message_id, 'receivedAt', received_at)::text as entry
  from inbox.send_messages($1::text::jsonb, 'caller', $2::text::integer)`;

/**
 * Inserts the messages that are not stored yet as Pending, and wakes the relays when the transaction commits.
 *
 * A caller may prepare its transaction (PREPARE TRANSACTION), which fails after a NOTIFY. So if the server allows prepared
 * transactions, relays are not woken unless `inbox.wake` is on. inbox.send follows the same rule.
 *
 * @returns the inserted entries
 * @throws an error of the client with the SQLSTATE 55P03 when another transaction holds one of the ids for too long
 */
export async function insertInCallersTransaction(
  tx: SqlClient,
  entries: readonly NewEntry[],
): Promise<Entry[]> {
  const sent = JSON.stringify(entries);
  const rows = await queryAsText<Stored>(tx, SEND, [sent, String(SEND_WAIT_MS)]);
  return storedEntries(sent, rows);
}

const KNOWN = `
  select pg_catalog.row_to_json(known)::text as entry
  from (select ${KNOWN_COLUMNS} from inbox.known_messages($1::text::jsonb)) as known`;

/** Returns those of these messages that are already stored, each compared with what is being sent now. */
export async function findKnownInCallersTransaction(
  tx: SqlClient,
  entries: readonly NewEntry[],
): Promise<KnownMessage[]> {
  const rows = await queryAsText<KnownRow>(tx, KNOWN, [JSON.stringify(entries)]);
  return rows.map(asKnown);
}

const DATES = new Set(['receivedAt', 'processedAt', 'nextRetryAt', 'prunedAt']);

/** @throws UnusableTransactionError if the client does not answer like `pg` */
async function queryAsText<Row extends object>(
  tx: SqlClient,
  text: string,
  values: string[],
): Promise<Row[]> {
  const answer = (await tx.query(text, values)) as { rows?: unknown } | undefined;
  if (!Array.isArray(answer?.rows)) {
    throw new UnusableTransactionError(
      'the query of tx must resolve to { rows }, as that of pg does; roll the transaction back',
    );
  }
  return answer.rows.map((row) => withDates(JSON.parse(String(Object.values(row as object)[0])) as Row));
}

function withDates<Row extends object>(row: Row): Row {
  const fields = Object.entries(row).map(([name, value]) => [
    name,
    DATES.has(name) && typeof value === 'string' ? new Date(value) : (value as unknown),
  ]);
  return Object.fromEntries(fields) as Row;
}
