/**
 * `inbox.audit`: what operators did. Rows are only ever added, by the statements that perform the actions.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/** Selects the lines to list. Omitted fields match every line. */
export interface AuditFilter {
  actor?: string;
  messageId?: string;
  campaignId?: string;
  action?: string;
  /** At or after this time. */
  since?: Date;
  /** Before this time. */
  until?: Date;
  /** Only lines older than the one with this id, for the next page. */
  before?: number;
  /** At most this many lines, newest first. */
  limit: number;
}

export interface AuditTrailLine {
  id: number;
  at: Date;
  action: string;
  /** A line is about a message or about a campaign; the other field is null. */
  messageId: string | null;
  campaignId: string | null;
  actor: string;
  reason: string | null;
  /** Null for a login that may not read the details, for example one in `inbox_reader`: they contain parts of payloads. */
  details: Record<string, unknown> | null;
}

/**
 * Newest first by id, so every page costs the same. Ids are assigned before COMMIT, so a later page can miss a line that
 * was written at the same moment. Reading the first page again shows it.
 */
export async function listAuditTrail(db: Queryable, filter: AuditFilter): Promise<AuditTrailLine[]> {
  const details = (await mayReadDetails(db)) ? 'details' : 'null::jsonb as details';
  const { rows } = await db.query<AuditTrailLine>(
    `select id::float8 as id, at, action, message_id as "messageId", campaign_id as "campaignId", actor, reason, ${details}
     from inbox.audit
     where ($1::text is null or actor = $1)
       and ($2::text is null or message_id = $2)
       and ($3::text is null or action = $3)
       and ($4::timestamptz is null or at >= $4)
       and ($5::timestamptz is null or at < $5)
       and ($6::bigint is null or id < $6)
       and ($7::uuid is null or campaign_id = $7)
     order by id desc limit $8`,
    [
      filter.actor ?? null,
      filter.messageId ?? null,
      filter.action ?? null,
      filter.since ?? null,
      filter.until ?? null,
      filter.before ?? null,
      filter.campaignId ?? null,
      filter.limit,
    ],
  );
  return rows;
}

/** A statement that names a column the login may not read fails entirely, so check first. */
async function mayReadDetails(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ may: boolean }>(
    `select has_column_privilege('inbox.audit', 'details', 'select') as may`,
  );
  return rows[0]!.may;
}
