/**
 * What `inbox doctor` asks the database: its settings, and what has been waiting for too long. Reads through the partial
 * indexes of what is open, so it costs the same with ten million completed entries.
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
  /** The default for connections like this one: role and database may have their own. */
  synchronousCommit: string;
  /** Other than `origin`: triggers do not run. */
  replicationRole: string;
  /** Settings of the URL, the role or the database that do not hold for the inbox, each as `name = value`. */
  overridden: string[];
  /** Schemas on the search_path of connections like this one in which every login may create objects. */
  openSchemas: string[];
}

/** `pinned`: the settings that the inbox sets itself. What a connection has from its start is the driver's. */
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
  /** How long the oldest of them has waited, in ms by the database's clock; null for none. */
  oldestMs: number | null;
  /** The message_id of one of them. */
  example: string | null;
}

const WAITING = (since: string) => `
  count(*)::float8 as count, (extract(epoch from now() - min(${since})) * 1000)::float8 as "oldestMs",
  (array_agg(message_id order by ${since}))[1] as example`;

/**
 * Pending for longer than this, of a type that a running worker knows, or of any type while none runs. A replay makes an old entry Pending again, so an entry
 * replayed lately does not count.
 */
export async function findStuckPending(db: Queryable, ageMs: number): Promise<Waiting> {
  return one(
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

/** Completed for longer than this, and the workflow that is to be the record of it is not there yet. */
export async function findUnrecorded(db: Queryable, ageMs: number): Promise<Waiting> {
  return one(
    db,
    `select ${WAITING('processed_at')} from inbox.entries
     where needs_workflow and status = 'Completed' and processed_at < now() - $1::float8 * interval '1 millisecond'`,
    ageMs,
  );
}

/** Failed, and its next attempt was due longer ago than this. */
export async function findOverdueFailed(db: Queryable, ageMs: number): Promise<Waiting> {
  return one(
    db,
    `select ${WAITING('next_retry_at')} from inbox.entries
     where status = 'Failed' and next_retry_at < now() - $1::float8 * interval '1 millisecond'`,
    ageMs,
  );
}

/**
 * Processing for longer than this, and no attempt at work: that would hold the row's lock for as long as it takes, hours
 * where the command is long-running. The lock taken here is the weakest, and gone with the statement. At most 1,000.
 */
export async function findLostAttempts(db: Queryable, ageMs: number): Promise<Waiting> {
  return one(
    db,
    `select ${WAITING('claimed_at')} from inbox.lost_attempts($1::float8 * interval '1 millisecond')`,
    ageMs,
  );
}

export async function findOpenDeadLetters(db: Queryable): Promise<Waiting> {
  return one(db, `select ${WAITING('dead_at')} from inbox.dead_letters where resolution is null`);
}

async function one(db: Queryable, sql: string, ...parameters: unknown[]): Promise<Waiting> {
  const { rows } = await db.query<Waiting>(sql, parameters);
  return rows[0]!;
}

export interface LateEntry {
  messageId: string;
  status: string;
}

/** Entries that wait this long for their workflow, or for the end of an attempt, are late. */
const LATE_AFTER_MS = 20_000;

const LATE = (condition: string, time: string) => `
  (select message_id, status::text, ${time} as since from inbox.entries
   where ${condition} and ${time} < now() - ${LATE_AFTER_MS}::float8 * interval '1 millisecond' order by ${time} limit $1)`;

/** Messages that a workflow should be moving, or soon: the oldest of each kind, at most `limit` in all. */
export async function listLate(db: Queryable, limit: number): Promise<LateEntry[]> {
  const { rows } = await db.query<LateEntry>(
    `select message_id as "messageId", min(status) as status
     from (${LATE(`status = 'Pending'`, 'received_at')}
           union all ${LATE(`status = 'Failed'`, 'next_retry_at')}
           union all ${LATE(`status = 'Processing'`, 'claimed_at')}
           union all (select message_id, status::text, null from inbox.entries
                      where needs_workflow and status <> 'Completed' limit $1)
           union all ${LATE(`needs_workflow and status = 'Completed'`, 'processed_at')}) as late
     group by message_id order by min(since) limit $1`,
    [limit],
  );
  return rows;
}
