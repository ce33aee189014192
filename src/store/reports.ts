/**
 * Lists of entries and audit lines, and counts of dead letters, for people.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { EntryStatus } from '../core/protocol.ts';
import type { Entry } from './entries.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import { ID_AT } from './ids.ts';

export interface EntryFilter {
  status?: EntryStatus;
  commandType?: string;
  /**
   * The id of a flow: selects the entries with this correlation_id, and the entry that began the flow, which has it as
   * its message_id.
   */
  correlationId?: string;
  /** Received at or after this time. */
  since?: Date;
  /** Received before this time. */
  until?: Date;
  /** Only entries older than the one with this id, for the next page. */
  before?: string;
  /** At most this many entries, newest first. */
  limit: number;
}

/**
 * Newest first by id. Ids grow with the time of receipt, so this needs no separate index and pages without offsets. The
 * time of receipt is when the entry's transaction began; the id is created later, but within a day.
 */
export async function listEntries(db: Queryable, filter: EntryFilter): Promise<Entry[]> {
  const { rows } = await db.query<Entry>(
    `select ${ENTRY_COLUMNS} from inbox.entries
     where ($1::inbox.entry_status is null or status = $1)
       and ($2::text is null or command_type = $2)
       and ($3::text is null or correlation_id = $3 or message_id = $3)
       and ($4::uuid is null or id < $4)
       and ($6::timestamptz is null
         or received_at >= $6 and id >= ${ID_AT(`greatest($6::timestamptz - interval '1 second', '1970-01-01')`)})
       and ($7::timestamptz is null
         or received_at < $7 and id < ${ID_AT(`greatest($7::timestamptz, '1970-01-01') + interval '1 day'`)})
     order by id desc limit $5`,
    [
      filter.status ?? null,
      filter.commandType ?? null,
      filter.correlationId ?? null,
      filter.before ?? null,
      filter.limit,
      filter.since ?? null,
      filter.until ?? null,
    ],
  );
  return rows;
}

export interface FailureCount {
  errorType: string;
  commandType: string;
  count: number;
  /** The message_id of one of them. */
  example: string;
}

/** Counts open dead letters by error type and command type. */
export async function countOpenDeadLetters(db: Queryable): Promise<FailureCount[]> {
  const { rows } = await db.query<FailureCount>(
    `select error_type as "errorType", command_type as "commandType", count(*)::float8 as count,
            max(message_id) as example
     from inbox.dead_letters where resolution is null
     group by error_type, command_type order by count(*) desc, error_type`,
  );
  return rows;
}

export interface AuditLine {
  at: Date;
  action: string;
  actor: string;
  reason: string | null;
  details: Record<string, unknown>;
}

/** The audit lines of a message, oldest first. */
export async function listAudit(db: Queryable, messageId: string): Promise<AuditLine[]> {
  const { rows } = await db.query<AuditLine>(
    'select at, action, actor, reason, details from inbox.audit where message_id = $1 order by id',
    [messageId],
  );
  return rows;
}
