/**
 * `inbox.audit`: what operators did. Rows are only ever added, by the statements that do it.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

/** Which lines to list; what is not given does not matter. */
export interface AuditFilter {
  actor?: string;
  messageId?: string;
  action?: string;
  /** At or after it. */
  since?: Date;
  /** Before it. */
  until?: Date;
  /** Lines older than the one with this id: the next page. */
  before?: number;
  /** At most so many, newest first. */
  limit: number;
}

export interface AuditTrailLine {
  id: number;
  at: Date;
  action: string;
  messageId: string;
  actor: string;
  reason: string | null;
  details: Record<string, unknown>;
}

/**
 * Newest first by id, so that a page costs no more than the one before it. Ids are given before the COMMIT: of lines that
 * were written at the same moment a later page may miss one, which the next look at the first page shows.
 */
export async function listAuditTrail(db: Queryable, filter: AuditFilter): Promise<AuditTrailLine[]> {
  const { rows } = await db.query<AuditTrailLine>(
    `select id::float8 as id, at, action, message_id as "messageId", actor, reason, details from inbox.audit
     where ($1::text is null or actor = $1)
       and ($2::text is null or message_id = $2)
       and ($3::text is null or action = $3)
       and ($4::timestamptz is null or at >= $4)
       and ($5::timestamptz is null or at < $5)
       and ($6::bigint is null or id < $6)
     order by id desc limit $7`,
    [
      filter.actor ?? null,
      filter.messageId ?? null,
      filter.action ?? null,
      filter.since ?? null,
      filter.until ?? null,
      filter.before ?? null,
      filter.limit,
    ],
  );
  return rows;
}
