/**
 * The queries of `inbox doctor`: server settings, and what has been waiting for too long. They use the partial indexes of
 * open rows, so they cost the same with ten million completed entries.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { IS_ALIVE } from './workers.ts';

export interface ServerFacts {
  version: string;
  encoding: string;
  fsync: string;
  fullPageWrites: string;
  /** The default for connections like this one; the role and the database can have their own. */
  synchronousCommit: string;
  /** Triggers run only if this is `origin`. */
  replicationRole: string;
  /** Settings of the URL, the role or the database that the inbox overrides, each as `name = value`. */
  overridden: string[];
  /** Schemas on the search_path of connections like this one in which every login may create objects. */
  openSchemas: string[];
}

/**
 * `pinned`: the names of the settings that the inbox sets itself. The two excluded ones are set by the driver when it
 * connects.
 */
export async function readServerFacts(db: Queryable, pinned: readonly string[]): Promise<ServerFacts> {
  const { rows } = await db.query<ServerFacts>(
    `select current_setting('server_version') as version, current_setting('server_encoding') as encoding,
            current_setting('fsync') as fsync, current_setting('full_page_writes') as "fullPageWrites",
            current_setting('synchronous_commit') as "synchronousCommit",
            current_setting('session_replication_role') as "replicationRole",
            array(
              select name || ' = ' || case when setting = '' then '(empty)' else setting end from pg_settings
              where name = any ($1) and source in ('database', 'user', 'database user', 'client')
                and name not in ('client_encoding', 'standard_conforming_strings')
              order by name) as overridden,
            array(
              select nspname::text from pg_namespace
              where nspname = any (current_schemas(false))
                and exists (
                  select from aclexplode(coalesce(nspacl, acldefault('n', nspowner))) as granted
                  where granted.grantee = 0 and granted.privilege_type = 'CREATE')
              order by 1) as "openSchemas"`,
    [pinned],
  );
  return rows[0]!;
}

export interface Waiting {
  count: number;
  /** How long the oldest of them has waited, in ms by the database's clock; null if none is waiting. */
  oldestMs: number | null;
  /** The message_id of the oldest; null if none is waiting. */
  example: string | null;
}

const WAITING = (since: string) => `
  count(*)::float8 as count, (extract(epoch from now() - min(${since})) * 1000)::float8 as "oldestMs",
  (array_agg(message_id order by ${since}))[1] as example`;

/**
 * Entries that have been Pending for longer than this, of a type that a running worker knows, or of any type if no worker
 * is running. A replay makes an old entry Pending again, so recently replayed entries don't count.
 */
export async function findStuckPending(db: Queryable, ageMs: number): Promise<Waiting> {
  return queryOne(
    db,
    `select ${WAITING('received_at')} from inbox.entries e
     where status = 'Pending' and received_at < now() - $1::float8 * interval '1 millisecond'
       and (exists (select from inbox.workers w where ${IS_ALIVE} and e.command_type = any (w.command_types))
         or not exists (select from inbox.workers where ${IS_ALIVE}))
       and not exists (select from inbox.dead_letters d
         where d.message_id = e.message_id and d.resolved_at > now() - $1::float8 * interval '1 millisecond')`,
    ageMs,
  );
}

/** Entries that completed longer ago than this and don't have the workflow yet that is their record. */
export async function findUnrecorded(db: Queryable, ageMs: number): Promise<Waiting> {
  return queryOne(
    db,
    `select ${WAITING('processed_at')} from inbox.entries
     where needs_workflow and status = 'Completed' and processed_at < now() - $1::float8 * interval '1 millisecond'`,
    ageMs,
  );
}

/** Failed entries whose next attempt was due longer ago than this. */
export async function findOverdueFailed(db: Queryable, ageMs: number): Promise<Waiting> {
  return queryOne(
    db,
    `select ${WAITING('next_retry_at')} from inbox.entries
     where status = 'Failed' and next_retry_at < now() - $1::float8 * interval '1 millisecond'`,
    ageMs,
  );
}

/**
 * Entries that have been Processing for longer than this without a running attempt. A running attempt holds the row's
 * lock for as long as it takes, which can be hours for a long-running command. This query takes the weakest lock that
 * conflicts with it, and only for the duration of the statement. Counts at most 1,000.
 */
export async function findLostAttempts(db: Queryable, ageMs: number): Promise<Waiting> {
  return queryOne(
    db,
    `select ${WAITING('claimed_at')} from inbox.lost_attempts($1::float8 * interval '1 millisecond')`,
    ageMs,
  );
}

export async function findOpenDeadLetters(db: Queryable): Promise<Waiting> {
  return queryOne(db, `select ${WAITING('dead_at')} from inbox.dead_letters where resolution is null`);
}

async function queryOne(db: Queryable, sql: string, ...parameters: unknown[]): Promise<Waiting> {
  const { rows } = await db.query<Waiting>(sql, parameters);
  return rows[0]!;
}

export interface LateEntry {
  messageId: string;
  commandType: string;
  status: string;
}

/** An entry that has waited this long for its workflow, or for the end of an attempt, is late. */
const LATE_AFTER_MS = 20_000;

const LATE = (condition: string, time: string) => `
  (select message_id, command_type, status::text, ${time} as since from inbox.entries
   where ${condition} and ${time} < now() - ${LATE_AFTER_MS}::float8 * interval '1 millisecond' order by ${time} limit $1)`;

/** Lists messages that a workflow should be processing now or soon: the oldest of each kind, at most `limit` in total. */
export async function listLate(db: Queryable, limit: number): Promise<LateEntry[]> {
  const { rows } = await db.query<LateEntry>(
    `select message_id as "messageId", min(command_type) as "commandType", min(status) as status
     from (${LATE(`status = 'Pending'`, 'received_at')}
           union all ${LATE(`status = 'Failed'`, 'next_retry_at')}
           union all ${LATE(`status = 'Processing'`, 'claimed_at')}
           union all (select message_id, command_type, status::text, null from inbox.entries
                      where needs_workflow and status <> 'Completed' limit $1)
           union all ${LATE(`needs_workflow and status = 'Completed'`, 'processed_at')}) as late
     group by message_id order by min(since) limit $1`,
    [limit],
  );
  return rows;
}
